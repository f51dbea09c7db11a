package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// chooseIndex settles the cluster's index when nobody asked for one: the first
// that no other cluster on this machine uses. The lock is held until the
// process ends, when the cluster has its ports and another "up" can see them.
func (c *Cluster) chooseIndex() error {
	if c.Index != anyIndex {
		return nil
	}
	if err := lockFile(filepath.Join(os.TempDir(), fmt.Sprintf("testcluster-%d.lock", os.Geteuid()))); err != nil {
		return fmt.Errorf("wait for the turn to choose an index: %w", err)
	}
	for c.Index = 0; c.Index <= maxIndex; c.Index++ {
		if c.indexFree() {
			return nil
		}
	}
	return fmt.Errorf("all indexes up to %d are in use on this machine: end a cluster with 'testcluster down'", maxIndex)
}

// indexFree tells whether nothing on this machine has the index's link or one
// of its ports.
func (c *Cluster) indexFree() bool {
	_, err := net.InterfaceByName(c.link())
	return err != nil && c.portsFree()
}

func (c *Cluster) portsFree() bool {
	for _, base := range []int{2379, 2380, 6443, 10257, 10259} {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port(base))))
		if err != nil {
			return false
		}
		listener.Close()
	}
	return true
}
