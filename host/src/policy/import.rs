//! Which imports of a component are granted. What a component imports is all that it can do.

use crate::model::{CONTRACT, ContractVersion};

/// The package of the contract.
const PACKAGE: &str = "collector:host/";

/// The interfaces of the contract that every collector may import. They reach nothing that a grant does not open.
const CONTRACT_INTERFACES: [&str; 5] = ["faults", "http", "logging", "metrics", "settings"];

/// The interfaces of the contract that a section of the plan grants, and that section's name.
const CAPABILITIES: [(&str, &str); 4] =
    [("kubernetes", "kubernetes"), ("ec2", "ec2"), ("last-values", "last_values"), ("workloads", "workloads")];

/// What every language's standard library imports; the context behind it is empty: clocks, random numbers, stdio to the log.
const WASI_ALWAYS: [&str; 4] = ["wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/"];

/// Imported by some languages' runtimes without being used. Granted by name; behind them are no files and no sockets.
pub const WASI_ON_GRANT: [&str; 2] = ["wasi:filesystem", "wasi:sockets"];

/// Why an import is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImportDenied {
    #[error("imports {import}, which needs contract {wanted}; this host speaks {CONTRACT}")]
    Newer { import: String, wanted: ContractVersion },
    #[error("imports {import}, which is not granted")]
    Grantable { import: String, grant: &'static str },
    #[error("imports {import}, which is not granted")]
    Capability { import: String, section: &'static str },
    #[error("imports {import}, which this host does not have")]
    Unknown { import: String },
}

/// The name of an import that a section of the plan grants: `ec2` of `collector:host/ec2@0.1.0`.
pub fn capability_of(import: &str) -> Option<&'static str> {
    let name = import.strip_prefix(PACKAGE)?.split('@').next()?;
    CAPABILITIES.iter().find(|(capability, _)| *capability == name).map(|(capability, _)| *capability)
}

/// Decides about one import, as it stands in the component: `collector:host/http@0.1.0`.
///
/// # Errors
/// Why it is refused.
pub fn check_import(import: &str, granted: &[String]) -> Result<(), ImportDenied> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if let Some(name) = interface.strip_prefix(PACKAGE) {
        return match version.parse::<ContractVersion>() {
            Ok(wanted) if wanted.is_newer() => Err(ImportDenied::Newer { import: import.into(), wanted }),
            Ok(wanted) if wanted.is_spoken() && CONTRACT_INTERFACES.contains(&name) => Ok(()),
            Ok(wanted) if wanted.is_spoken() => check_capability(import, name, granted),
            _ => Err(ImportDenied::Unknown { import: import.into() }),
        };
    }
    if WASI_ALWAYS.iter().any(|prefix| interface.starts_with(prefix)) {
        return Ok(());
    }
    match WASI_ON_GRANT.iter().find(|package| interface.strip_prefix(**package).is_some_and(|r| r.starts_with('/'))) {
        Some(package) if granted.iter().any(|g| g == package) => Ok(()),
        Some(package) => Err(ImportDenied::Grantable { import: import.into(), grant: package }),
        None => Err(ImportDenied::Unknown { import: import.into() }),
    }
}

fn check_capability(import: &str, name: &str, granted: &[String]) -> Result<(), ImportDenied> {
    match CAPABILITIES.iter().find(|(capability, _)| *capability == name) {
        Some(_) if granted.iter().any(|g| g == name) => Ok(()),
        Some((_, section)) => Err(ImportDenied::Capability { import: import.into(), section }),
        None => Err(ImportDenied::Unknown { import: import.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_and_the_standard_library_are_granted() {
        for import in ["collector:host/http@0.1.0", "wasi:cli/stderr@0.2.6", "wasi:clocks/wall-clock@0.2.6"] {
            assert_eq!(check_import(import, &[]), Ok(()), "{import}");
        }
    }

    #[test]
    fn a_capability_is_granted_by_its_section() {
        let import = "collector:host/last-values@0.1.0";
        assert_eq!(
            check_import(import, &[]),
            Err(ImportDenied::Capability { import: import.into(), section: "last_values" })
        );
        assert_eq!(check_import(import, &["last-values".into()]), Ok(()));
    }

    #[test]
    fn everything_else_is_refused_and_says_what_would_grant_it() {
        let says = |import: &str, granted: &[String]| check_import(import, granted).unwrap_err().to_string();
        assert!(says("collector:host/http@0.2.0", &[]).contains("needs contract 0.2.0; this host speaks 0.1.0"));
        assert!(says("collector:host/teleport@0.1.0", &[]).contains("does not have"));
        assert!(says("wasi:http/outgoing-handler@0.2.6", &[]).contains("does not have"));
        assert!(says("evil", &[]).contains("does not have"));
        let sockets = "wasi:sockets/tcp@0.2.6";
        assert_eq!(
            check_import(sockets, &[]),
            Err(ImportDenied::Grantable { import: sockets.into(), grant: "wasi:sockets" })
        );
        assert_eq!(check_import(sockets, &["wasi:sockets".into()]), Ok(()));
        assert!(check_import("wasi:socketsx/tcp", &["wasi:sockets".into()]).is_err());
    }
}
