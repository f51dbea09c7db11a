//! The volumes of a pod as folders of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, Volume};

use super::sources::{Data, Sources};
use crate::local::cure;

/// The folders of volumes by their names.
pub type Folders = BTreeMap<String, PathBuf>;

/// Makes a folder that only this user may read, and those above it.
///
/// # Errors
///
/// The disk is full, or something else is at its place.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes all volumes of a pod below this folder. What ConfigMaps and Secrets hold is written as it is now.
///
/// # Errors
///
/// One of them is not there, is nothing that a machine has, or cannot be written: in words, with the option
/// that names another folder.
pub async fn lay_out(sources: &Sources, pod: &Pod, root: &Path, option: &str) -> Result<Folders, String> {
    let mut folders = Folders::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let folder = root.join("volumes").join(&volume.name);
        let place = if let Some(path) = &volume.host_path {
            PathBuf::from(&path.path)
        } else {
            fill(sources, volume, &folder, option)
                .await
                .map_err(|why| format!("volume {}: {why}", volume.name))?;
            folder
        };
        folders.insert(volume.name.clone(), place);
    }
    Ok(folders)
}

/// The paths at which a container expects volumes, and where they are.
pub fn mounts(container: &Container, folders: &Folders) -> Vec<(String, PathBuf)> {
    let mounts = container.volume_mounts.iter().flatten();
    let of_mount = mounts.filter_map(|mount| {
        let folder = folders.get(&mount.name)?;
        let place = mount.sub_path.as_ref().map_or_else(|| folder.clone(), |within| folder.join(within));
        Some((mount.mount_path.clone(), place))
    });
    of_mount.collect()
}

async fn fill(sources: &Sources, volume: &Volume, folder: &Path, option: &str) -> Result<(), String> {
    let cannot_write = |error: io::Error| format!("{error}: {}", cure::of(&error, option));
    make_folder(folder).map_err(cannot_write)?;
    let (data, items) = if let Some(map) = &volume.config_map {
        (sources.config_map(&map.name, map.optional == Some(true)).await?, map.items.as_deref())
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        (sources.secret(name, secret.optional == Some(true)).await?, secret.items.as_deref())
    } else if volume.empty_dir.is_some() {
        return Ok(());
    } else {
        return Err(
            "a machine has no volume of this type: there are configMap, secret, emptyDir and hostPath"
                .to_owned(),
        );
    };
    let data = data.unwrap_or_default();
    for (path, bytes) in files(&data, items)? {
        let written = write(&folder.join(path), bytes).map_err(cannot_write);
        written.map_err(|why| format!("{path} cannot be written: {why}"))?;
    }
    Ok(())
}

/// Paths within the volume, and what is in them: all keys, or those that are listed.
fn files<'a>(data: &'a Data, items: Option<&'a [KeyToPath]>) -> Result<Vec<(&'a str, &'a [u8])>, String> {
    let Some(items) = items else {
        return Ok(data.iter().map(|(key, bytes)| (key.as_str(), bytes.as_slice())).collect());
    };
    let of_item = |item: &'a KeyToPath| {
        let bytes = data.get(&item.key).ok_or_else(|| format!("there is no key {}", item.key))?;
        let stays = Path::new(&item.path).components().all(|part| matches!(part, Component::Normal(_)));
        if stays {
            Ok((item.path.as_str(), bytes.as_slice()))
        } else {
            Err(format!("{} leads out of it", item.path))
        }
    };
    items.iter().map(of_item).collect()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_keys_have_their_paths_and_none_leads_out() {
        let data: Data = [("a", "1"), ("b", "2")].map(|(key, text)| (key.to_owned(), text.into())).into();
        let item =
            |key: &str, path: &str| KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None };
        assert_eq!(files(&data, None).unwrap(), [("a", b"1".as_slice()), ("b", b"2")]);
        assert_eq!(files(&data, Some(&[item("b", "code/b.py")])).unwrap(), [("code/b.py", b"2".as_slice())]);
        assert!(files(&data, Some(&[item("c", "c")])).unwrap_err().contains("no key c"));
        for path in ["../b", "/etc/b", "x/../../b"] {
            assert!(files(&data, Some(&[item("b", path)])).unwrap_err().contains("leads out"), "{path}");
        }
    }
}
