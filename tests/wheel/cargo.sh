#!/bin/sh
# Stands for cargo where maturin packs a program that is there already, $DASKFLOW: it says that it has built it. What maturin
# asks of Cargo.toml (cargo metadata) goes to cargo itself.
case ${1:-} in
rustc | build)
	program=$(printf '%s' "$DASKFLOW" | sed 's/[\\"]/\\&/g')
	folder=$(printf '%s' "$DASKFLOW_ROOT" | sed 's/[\\"]/\\&/g')
	printf '{"reason":"compiler-artifact","package_id":"path+file://%s#daskflow@%s","manifest_path":"%s/Cargo.toml",' \
		"$folder" "$DASKFLOW_VERSION" "$folder"
	printf '"target":{"kind":["bin"],"crate_types":["bin"],"name":"daskflow","src_path":"%s/src/main.rs","edition":"2024",' "$folder"
	printf '"doc":true,"doctest":false,"test":false},"profile":{"opt_level":"0","debuginfo":0,"debug_assertions":true,'
	printf '"overflow_checks":true,"test":false},"features":[],"filenames":["%s"],"executable":"%s","fresh":true}\n' "$program" "$program"
	printf '{"reason":"build-finished","success":true}\n'
	;;
*) exec "$DASKFLOW_CARGO" "$@" ;;
esac
