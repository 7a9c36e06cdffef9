//! A place to run the binary in: components, a configuration, a state folder, an environment with nothing in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// A folder with everything that the binary reads.
pub struct Site {
    pub dir: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    config: String,
}

/// What came of a call.
#[derive(Debug)]
pub struct Called {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The folder that cargo builds into.
fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// A component that `just build-guests` has built, by its crate's name.
///
/// # Panics
/// Where it is not there: a test without its guest must not pass.
pub fn built(name: &str) -> PathBuf {
    let path = target_dir().join("wasm32-wasip2/guest").join(format!("{}.wasm", name.replace('-', "_")));
    assert!(path.exists(), "{} is not there: run `./just build-guests` first", path.display());
    path
}

/// The manifest of components that are written as text here.
pub const MANIFEST: &str = "name = 'villain'\nversion = '1'\ncontract = '0.1.0'\n";

/// A component of the collectors' world whose core module is this text. The module exports `memory`, `realloc` and `collect`
/// (the address of its result). If it imports "host" "get", that is `settings.get` with a memory of its own: the text "key" at
/// 0, and a `realloc` that never comes back.
pub fn component(manifest: &str, module: &str) -> Vec<u8> {
    let text = component_text(manifest, module);
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The same as text, for those that change it.
pub fn component_text(manifest: &str, module: &str) -> String {
    let uses_settings = module.contains("\"get\"");
    let (import, lower, with) = if uses_settings {
        (
            "(import \"collector:host/settings@0.1.0\" (instance $settings
                (export \"get\" (func (param \"key\" string) (result (option string))))))
             (core module $memory (memory (export \"memory\") 1) (data (i32.const 0) \"key\")
                (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable))
             (core instance $memory (instantiate $memory))",
            "(core func $get (canon lower (func $settings \"get\")
                (memory $memory \"memory\") (realloc (func $memory \"realloc\"))))
             (core instance $host (export \"get\" (func $get)))",
            "(with \"host\" (instance $host))",
        )
    } else {
        ("", "", "")
    };
    format!(
        r#"(component
          (import "collector:host/faults@0.1.0" (instance $faults
            (type $b (enum "guest" "upstream" "settings"))
            (export "blame" (type $blame (eq $b)))
            (type $r (enum "unreachable" "timeout" "upstream-error" "rate-limited" "unauthorized" "not-found"
                "bad-answer" "credential" "setting" "denied" "limit" "contract" "other"))
            (export "reason" (type $reason (eq $r)))
            (type $f (record (field "blame" $blame) (field "reason" $reason) (field "message" string)))
            (export "fault" (type (eq $f)))))
          (alias export $faults "fault" (type $fault-of))
          (import "fault" (type $fault (eq $fault-of)))
          {import}
          {lower}
          (core module $guest (@custom "collector-manifest" {manifest:?}) {module})
          (core instance $guest (instantiate $guest {with}))
          (func (export "collect") async (result (result (error $fault)))
            (canon lift (core func $guest "collect") (memory $guest "memory") (realloc (func $guest "realloc")))))"#
    )
}

/// What a module needs that does nothing wrong: memory, `realloc`, and a result that says all is well.
pub const PLAIN: &str = r#"(memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"#;

impl Site {
    pub fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("components")).unwrap();
        Site { dir, environment: BTreeMap::new(), config: String::new() }
    }

    /// Puts a built guest into the components folder.
    pub fn guest(self, name: &str) -> Site {
        // Compiled before anything is timed, once for all tests.
        static COMPILED: OnceLock<()> = OnceLock::new();
        COMPILED.get_or_init(|| {
            let upstream = "[upstream.evil]\nbase_url = 'http://127.0.0.1:9'";
            let called = Site::new().config(upstream).call(&["run", &built("hostile").display().to_string()]);
            assert_eq!(called.code, 0, "{called:#?}");
        });
        let to = self.component_path(name);
        fs::copy(built(name), to).unwrap();
        self
    }

    /// Puts any bytes there.
    pub fn file(self, name: &str, bytes: &[u8]) -> Site {
        fs::write(self.component_path(name), bytes).unwrap();
        self
    }

    /// Adds to `host.toml`.
    pub fn config(mut self, text: &str) -> Site {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Replaces a part of `host.toml`.
    pub fn replace_config(mut self, from: &str, to: &str) -> Site {
        assert!(self.config.contains(from));
        self.config = self.config.replace(from, to);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Site {
        self.environment.insert(name.into(), value.into());
        self
    }

    pub fn component_path(&self, name: &str) -> PathBuf {
        self.dir.path().join("components").join(format!("{}.wasm", name.replace("collector-", "")))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        fs::write(self.dir.path().join("host.toml"), &self.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOST_STATE", self.dir.path().join("state"))
            .envs(&self.environment);
        // Compiling is not what is tested: all tests share what is compiled.
        let shared = target_dir().join("tmp/compiled");
        fs::create_dir_all(&shared).unwrap();
        fs::create_dir_all(self.dir.path().join("state")).unwrap();
        drop(std::os::unix::fs::symlink(&shared, self.dir.path().join("state/cache")));
        command
    }

    /// Runs the binary to its end.
    pub fn call(&self, args: &[&str]) -> Called {
        Called::of(self.command(args).output().unwrap())
    }

    /// Starts the binary and lets it run.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a dry cycle and gives its report.
    pub fn report(&self, args: &[&str]) -> Value {
        let mut all = vec!["run-all", "--dry-run", "--format", "json"];
        all.extend(args);
        self.call(&all).json()
    }
}

impl Called {
    pub fn of(output: Output) -> Called {
        Called {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// The entry of a collector in a report.
pub fn run_of<'a>(report: &'a Value, collector: &str) -> &'a Value {
    let runs = report["runs"].as_array().unwrap();
    let run = runs.iter().find(|run| run["collector"] == collector);
    run.unwrap_or_else(|| panic!("no run of {collector} in {report:#}"))
}
