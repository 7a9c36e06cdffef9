//! Reads what a component says of itself, without compiling it: the manifest in its custom section, imports, exports.

use wasmparser::{ComponentTypeRef, Parser, Payload};

use crate::model::{CONTRACT, Manifest, Reason};

/// The custom section of the core module that holds `collector.toml`.
const MANIFEST_SECTION: &str = "collector-manifest";

/// The export that makes a component a collector.
const ENTRY: &str = "collect";

/// The manifest and the imports of a collector; else why it is none, as the end of a sentence that begins with the file.
pub(super) fn parse(bytes: &[u8]) -> Result<(Manifest, Vec<String>), (Reason, String)> {
    if bytes.is_empty() {
        return Err((Reason::BadComponent, "is empty".into()));
    }
    if Parser::is_core_wasm(bytes) {
        return Err((Reason::NotACollector, "is a core module, not a component".into()));
    }
    if !Parser::is_component(bytes) {
        return Err((Reason::BadComponent, "is not WebAssembly".into()));
    }
    let said = walk(bytes).map_err(|e| {
        (Reason::BadComponent, format!("is cut off or damaged: {}, at byte {}", e.message(), e.offset()))
    })?;
    let mut manifests = said.manifests.into_iter();
    let manifest = match (manifests.next(), manifests.next()) {
        (Some(manifest), None) => manifest,
        (None, _) => return Err((Reason::NotACollector, "is not a collector: it carries no manifest".into())),
        (Some(_), Some(_)) => return Err((Reason::NotACollector, "carries more than one manifest".into())),
    };
    let manifest = Manifest::parse(&manifest)
        .map_err(|e| (Reason::NotACollector, format!("carries a manifest that cannot be read: {e}")))?;
    match manifest.contract() {
        Ok(contract) if contract.is_spoken() => {}
        Ok(contract) => {
            let newer = contract.is_newer();
            let reason = if newer { Reason::NewerContract } else { Reason::NotACollector };
            let remedy = if newer { "update the host" } else { "build it anew" };
            let what = format!("is made for contract {contract}; this host speaks {CONTRACT}: {remedy}");
            return Err((reason, what));
        }
        Err(e) => return Err((Reason::NotACollector, e.to_string())),
    }
    if !said.exports.iter().any(|export| export == ENTRY) {
        return Err((Reason::NotACollector, format!("is of another world: it does not export `{ENTRY}`")));
    }
    let mut imports = said.imports;
    imports.sort();
    Ok((manifest, imports))
}

#[derive(Default)]
struct Said {
    manifests: Vec<String>,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Collects what the outermost component imports and exports, and the manifest sections at any depth.
fn walk(bytes: &[u8]) -> wasmparser::Result<Said> {
    let mut said = Said::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                said.manifests.push(String::from_utf8_lossy(section.data()).into_owned());
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    // A type is a name for a shape, not a capability.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        said.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    said.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(said)
}
