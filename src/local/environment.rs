//! The variables that all processes have, whatever pod they are of.

use std::path::Path;

/// Where Python looks for modules, before its own folders.
const MODULES: &str = "PYTHONPATH";

/// These variables, and the folder of modules as the first of those that are named already: by them, or else
/// by daskflow's own environment.
pub fn of_all(mut env: Vec<(String, String)>, modules: Option<&Path>) -> Vec<(String, String)> {
    let Some(folder) = modules else { return env };
    let named = env.iter().rev().find(|(name, _)| name == MODULES).map(|(_, value)| value.clone());
    let own = || std::env::var_os(MODULES).map(|value| value.to_string_lossy().into_owned());
    let rest = named.or_else(own).filter(|rest| !rest.is_empty());
    let rest = rest.map(|rest| format!(":{rest}")).unwrap_or_default();
    env.push((MODULES.to_owned(), format!("{}{rest}", folder.display())));
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_modules_is_the_first_of_several() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let named = vec![pair("A", "b"), pair(MODULES, "/lib")];
        assert_eq!(of_all(named.clone(), None), named);
        let all = of_all(named, Some(Path::new("/src")));
        assert_eq!(all.last(), Some(&pair(MODULES, "/src:/lib")));
    }
}
