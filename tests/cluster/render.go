package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	helm "helm.sh/helm/v4/pkg/cmd"
)

// A helmRun is what Helm is run with, and what it reads on standard input.
type helmRun struct {
	Args  []string `json:"args"`
	Input string   `json:"input"`
}

// A helmResult is what a run of Helm gave.
type helmResult struct {
	Worked bool   `json:"worked"`
	Out    string `json:"out"`
	Err    string `json:"err"`
}

func renderCommand() *cobra.Command {
	return &cobra.Command{Use: "render", Short: "Run Helm for each JSON line {args, input} on standard input, and answer with a JSON line {worked, out, err}",
		Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return render(os.Stdin, os.Stdout) }}
}

// render runs Helm again and again in this process. A chart's tests ask for
// hundreds of renderings, and this binary takes longer to start, with all of
// Kubernetes in it, than Helm takes to render.
func render(in io.Reader, out io.Writer) error {
	forgetGlobalFlags()
	runs, results := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var run helmRun
		if err := runs.Decode(&run); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		result, err := run.result()
		if err != nil {
			return err
		}
		if err := results.Encode(result); err != nil {
			return err
		}
	}
}

// result runs Helm once. Helm reads and writes the standard files of its
// process, whatever they are at that moment: here, files of this run.
func (run helmRun) result() (result helmResult, err error) {
	folder, err := os.MkdirTemp("", "helm-run-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(folder)
	in, out, complaints := filepath.Join(folder, "in"), filepath.Join(folder, "out"), filepath.Join(folder, "err")
	if err := os.WriteFile(in, []byte(run.Input), 0o600); err != nil {
		return result, err
	}
	defer func(in, out, complaints *os.File) {
		os.Stdin, os.Stdout, os.Stderr = in, out, complaints
	}(os.Stdin, os.Stdout, os.Stderr)
	for path, place := range map[string]**os.File{in: &os.Stdin, out: &os.Stdout, complaints: &os.Stderr} {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return result, err
		}
		defer file.Close()
		*place = file
	}
	failure := run.execute()
	if failure != nil {
		fmt.Fprintln(os.Stderr, "Error:", failure)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return result, err
	}
	reasons, err := os.ReadFile(complaints)
	return helmResult{Worked: failure == nil, Out: string(text), Err: string(reasons)}, err
}

// execute is what the program helm does with these arguments. Helm keeps its
// settings from one command of a process to the next: without the first
// argument a run would be in the namespace of the one before.
func (run helmRun) execute() error {
	args := append([]string{"--namespace="}, run.Args...)
	command, err := helm.NewRootCmd(os.Stdout, args, helm.SetupLogging)
	if err != nil {
		return err
	}
	command.SetArgs(args)
	return execute(command, context.Background())
}
