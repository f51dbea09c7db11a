//! `--local`: the `daskflow local` that runs on this machine.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use super::program::Listens;
use super::stage::furnished;

/// A folder as `daskflow local` makes it, locked for as long as the second lives.
fn folder(here: &Listens, name: &str) -> (PathBuf, File) {
    let folder = here.folder.join("temporary").join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
    std::fs::copy(here.folder.join("kubeconfig"), folder.join("kubeconfig")).unwrap();
    let lock = File::create_new(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    (folder, lock)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_runs_is_found() {
    let here = Listens::new("commands_local", furnished().await).await;
    let status = async |more: &str| {
        let line = format!("TMPDIR=$PWD/temporary KUBECONFIG=nowhere daskflow status --local {more}");
        let (code, out, err) = here.run(&line).await;
        (code, format!("{out}{err}"))
    };
    let none = "daskflow: no `daskflow local` of yours was found on this machine: start one, or name its kubeconfig with \
                --kubeconfig\n";
    assert_eq!(status("").await, (1, none.to_owned()));
    let (first, lock) = folder(&here, "daskflow-local-1-00000001");
    let (code, said) = status("-o name").await;
    assert!(code == 0 && said.contains("flow.daskflow.dev/nightly-report\n"), "{said}");
    let (code, said) = status("--context here").await;
    assert!(code == 2 && said.contains("cannot be used with"), "{said}");
    // Its kubeconfig names a program: another user could have put it there.
    std::fs::set_permissions(&first, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(status("").await, (1, none.to_owned()));
    std::fs::set_permissions(&first, Permissions::from_mode(0o700)).unwrap();
    let (second, second_lock) = folder(&here, "daskflow-local-2-00000002");
    let (code, said) = status("").await;
    let both = format!("of {}/kubeconfig, {}/kubeconfig\n", first.display(), second.display());
    assert!(code == 1 && said.contains("choose one with --kubeconfig") && said.ends_with(&both), "{said}");
    // The one that was started in the working directory comes before others.
    let started_in =
        |folder: &PathBuf, place: &str| std::fs::write(folder.join("started-in"), place).unwrap();
    started_in(&first, here.folder.to_str().unwrap());
    started_in(&second, "/elsewhere");
    assert_eq!(status("-o name").await.0, 0);
    started_in(&first, "/elsewhere");
    let (code, said) = status("").await;
    assert!(code == 1 && said.contains("/kubeconfig (started in /elsewhere), "), "{said}");
    // A killed one is none.
    drop(second_lock);
    assert_eq!(status("-o name").await.0, 0);
    std::fs::remove_file(first.join("kubeconfig")).unwrap();
    let (code, said) = status("").await;
    assert!(code == 1 && said.contains("it begins just now; try again in a second"), "{said}");
    drop(lock);
    assert_eq!(status("").await, (1, none.to_owned()));
}
