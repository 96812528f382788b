//! Each test builds the folders that a package manager leaves behind, and asks what would be run.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A folder of its own, by its canonical name (macOS has its temporary folder behind a symlink).
struct Disk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = dunce::canonicalize(folder.path()).unwrap();
        Self { path, _folder: folder }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    fn file(&self, path: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn program(&self, path: &str) -> PathBuf {
        self.file(path, "\u{7f}ELF", 0o755)
    }

    fn link(&self, path: &str, target: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, &path).unwrap();
        path
    }

    /// The wrapper package in a `node_modules` folder.
    fn wrapper(&self, modules: &str) -> PathBuf {
        self.file(&format!("{modules}/@openai/codex/package.json"), r#"{"name":"@openai/codex"}"#, 0o644);
        self.file(&format!("{modules}/@openai/codex/bin/codex.js"), "#!/usr/bin/env node\n", 0o755)
    }

    /// The package of this platform in a `node_modules` folder, and the binary in it.
    fn platform_package(&self, modules: &str, layout: &str) -> PathBuf {
        let Platform { npm_suffix, triple, .. } = platform().unwrap();
        self.file(&format!("{modules}/@openai/codex-{npm_suffix}/package.json"), r#"{"name":"@openai/codex"}"#, 0o644);
        self.program(&format!("{modules}/@openai/codex-{npm_suffix}/vendor/{triple}/{layout}/codex"))
    }

    /// `PATH` of these folders, relative ones as they are.
    fn search(&self, path: &[&str]) -> Search {
        let entries = path.iter().map(|entry| match entry.strip_prefix('/') {
            Some(inside) => self.at(inside),
            None => PathBuf::from(entry),
        });
        Search {
            path: Some(std::env::join_paths(entries).unwrap()),
            installed: self.at("store/codex"),
            ..Search::default()
        }
    }

    fn explicit(&self, command: &str) -> Search {
        Search { explicit: Some(command.replace('~', self.path.to_str().unwrap()).into()), ..self.search(&["/bin"]) }
    }
}

fn expect(search: &Search, program: &Path, source: Source) -> Located {
    let located = locate(search).unwrap();
    assert_eq!((located.program.as_path(), located.source), (program, source));
    located
}

#[test]
fn the_first_usable_path_entry_wins() {
    let disk = Disk::new();
    disk.file("a/codex", "not executable", 0o644);
    fs::create_dir_all(disk.at("b/codex")).unwrap();
    let first = disk.program("c/codex");
    disk.program("d/codex");
    let located = expect(&disk.search(&["/nowhere", "/a", "/b", "/c", "/d"]), &first, Source::Path);
    assert_eq!(located.passed_over, [PassedOver { path: disk.at("a/codex"), reason: Reason::NotExecutable }]);
    assert!(located.args.is_empty() && located.env.is_empty() && located.via.is_none());
}

#[test]
fn relative_and_empty_entries_are_skipped() {
    // Tests run in the crate's folder: a relative way from there to a program that is there.
    let here = std::env::current_dir().unwrap();
    let disk = Disk::new();
    disk.program("bin/codex");
    let up = here.components().skip(1).map(|_| "..").collect::<PathBuf>();
    let relative = up.join(disk.at("bin").strip_prefix("/").unwrap());
    assert!(relative.join("codex").is_file());
    let search = disk.search(&["", relative.to_str().unwrap(), "."]);
    let error = locate(&search).unwrap_err().to_string();
    assert!(error.contains("is relative") && error.contains("codexd codex install"), "{error}");
    assert_eq!(find_on_path("codex", search.path.as_deref(), &[]), None);
}

/// What Codex runs itself it looks for on `PATH`, in the folders of sessions.
#[test]
fn codex_inherits_no_relative_entry() {
    let disk = Disk::new();
    let plain = expect(&disk.explicit(disk.program("codex").to_str().unwrap()), &disk.at("codex"), Source::Explicit);
    let path_of = |path: &str| {
        let changes = plain.changes(Some(OsStr::new(path)));
        changes.into_iter().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value)
    };
    assert_eq!(path_of("/usr/bin:/bin"), None);
    for path in [".:/usr/bin:/bin", ":/usr/bin:node_modules/.bin:/bin", "/usr/bin:/bin:", "bin:../bin:/usr/bin::/bin"] {
        assert_eq!(path_of(path), Some("/usr/bin:/bin".into()), "{path}");
    }
    assert!(plain.changes(None).iter().all(|(name, _)| *name != "PATH"));
}

#[test]
fn nothing_in_a_root_is_run() {
    let disk = Disk::new();
    disk.program("project/bin/codex");
    disk.program("project/evil");
    disk.link("by-file/codex", "../project/evil");
    disk.link("by-folder", "project/bin");
    // Ends outside, but an agent may turn it.
    disk.link("project/turn", "../good/codex");
    disk.link("by-way/codex", "../project/turn");
    let good = disk.program("good/codex");
    let bad = ["/project/bin", "/by-file", "/by-folder", "/by-way"];
    let mut search = disk.search(&[&bad[..], &["/good"]].concat());
    search.roots = vec![disk.at("project"), disk.at("not-there"), PathBuf::from("/")];
    let located = expect(&search, &good, Source::Path);
    assert_eq!(located.passed_over.len(), 4, "{:?}", located.passed_over);

    // A root that is itself named through a symlink.
    disk.link("alias", "project");
    search.roots = vec![disk.at("alias")];
    expect(&search, &good, Source::Path);

    for command in ["~/project/evil", "~/by-file/codex --flag", "'~/good/codex' ~/project/evil"] {
        let search = Search { roots: search.roots.clone(), ..disk.explicit(command) };
        let error = locate(&search).unwrap_err();
        assert!(matches!(error, LocateError::InsideRoot { .. }), "{command}: {error}");
        let text = error.to_string();
        assert!(text.contains("move the program") && text.contains("--cwd"), "{command}: {text}");
    }

    // Ours as well.
    let folder = disk.at("store/codex/0.169.0");
    disk.platform_package("store/codex/0.169.0/node_modules", "bin");
    let search = Search { roots: vec![disk.at("store")], ..disk.search(&[]) };
    let LocateError::NotFound { passed_over, .. } = locate(&search).unwrap_err() else { panic!() };
    assert_eq!(passed_over, [PassedOver { path: folder, reason: Reason::InsideRoot(disk.at("store")) }]);
}

#[test]
fn looks_through_the_wrapper_beside_its_platform_package() {
    for (modules, layout) in [
        ("lib/node_modules", "bin"),
        ("lib/node_modules/@openai/codex/node_modules", "bin"),
        // 0.99 to about 0.130
        ("lib/node_modules", "codex"),
    ] {
        let disk = Disk::new();
        let script = disk.wrapper("lib/node_modules");
        let native = disk.platform_package(modules, layout);
        let link = disk.link("bin/codex", "../lib/node_modules/@openai/codex/bin/codex.js");
        let located = expect(&disk.search(&["/bin"]), &native, Source::Path);
        assert_eq!(located.via, Some(link));
        let package = disk.at("lib/node_modules/@openai/codex").into_os_string();
        assert_eq!(located.env, [(MANAGED_ROOT, package), (MANAGED_BY[0], "1".into())]);
        assert!(located.path_prefix.is_empty());
        let changes = located.changes(Some(OsStr::new("/usr/bin")));
        assert!(changes.contains(&(MANAGED_BY[2], None)) && changes.iter().all(|(name, _)| *name != "PATH"));

        // Named outright, and through Node, which may be elsewhere.
        let explicit = disk.explicit(&format!("{} -c x=1", script.display()));
        assert_eq!(expect(&explicit, &native, Source::Explicit).args, ["-c", "x=1"]);
        disk.program("bin/node");
        let explicit = disk.explicit(&format!("node {} -c x=1", script.display()));
        let located = expect(&explicit, &native, Source::Explicit);
        assert_eq!((located.args, located.via), (vec!["-c".into(), "x=1".into()], Some(script)));
    }
}

#[test]
fn looks_through_the_wrapper_that_brings_all_platforms() {
    let disk = Disk::new();
    let triple = platform().unwrap().triple;
    disk.wrapper("lib/node_modules");
    let vendor = format!("lib/node_modules/@openai/codex/vendor/{triple}");
    let native = disk.program(&format!("{vendor}/codex/codex"));
    disk.program(&format!("{vendor}/path/rg"));
    disk.link("bin/codex", "../lib/node_modules/@openai/codex/bin/codex.js");
    let located = expect(&disk.search(&["/bin"]), &native, Source::Path);
    let path = located.changes(Some(OsStr::new("/usr/bin::/bin"))).pop().unwrap();
    let tools = disk.at(&format!("{vendor}/path"));
    assert_eq!(path, ("PATH", Some(format!("{}:/usr/bin:/bin", tools.display()).into())));
    assert_eq!(located.changes(None).pop(), Some(("PATH", Some(tools.into_os_string()))));
}

#[test]
fn looks_through_the_shims_of_npm_and_pnpm() {
    let disk = Disk::new();
    let store = "pnpm/5/.pnpm/@openai+codex@0.169.0/node_modules";
    disk.wrapper(store);
    let native = disk.platform_package("pnpm/5/.pnpm/@openai+codex@0.169.0-linux/node_modules", "bin");
    let npm_suffix = platform().unwrap().npm_suffix;
    let package = format!("@openai/codex-{npm_suffix}");
    disk.link(&format!("{store}/{package}"), &format!("../../../@openai+codex@0.169.0-linux/node_modules/{package}"));
    disk.link("pnpm/5/node_modules/@openai/codex", "../../.pnpm/@openai+codex@0.169.0/node_modules/@openai/codex");
    disk.file("pnpm/5/node_modules/.modules.yaml", "", 0o644);
    let shim = disk.file(
        "pnpm/codex",
        "#!/bin/sh\nbasedir=$(dirname \"$(echo \"$0\" | sed -e 's,\\\\,/,g')\")\n\
         if [ -x \"$basedir/node\" ]; then\n  exec \"$basedir/node\"  \"$basedir/5/node_modules/@openai/codex/bin/codex.js\" \"$@\"\n\
         else\n  exec node  \"$basedir/5/node_modules/@openai/codex/bin/codex.js\" \"$@\"\nfi\n",
        0o755,
    );
    let located = expect(&disk.search(&["/pnpm"]), &native, Source::Path);
    assert_eq!(located.via.as_deref(), Some(shim.as_path()));
    let wrapper = disk.at("pnpm/5/node_modules/@openai/codex/bin/codex.js");
    let located = expect(&disk.explicit(wrapper.to_str().unwrap()), &native, Source::Explicit);
    assert_eq!(located.env[1].0, "CODEX_MANAGED_BY_PNPM");

    disk.wrapper("npm/node_modules");
    let native = disk.platform_package("npm/node_modules", "bin");
    let cmd = disk.file(
        "npm/codex.cmd",
        "@ECHO off\r\nGOTO start\r\n:find_dp0\r\nSET dp0=%~dp0\r\nEXIT /b\r\n:start\r\nSETLOCAL\r\nCALL :find_dp0\r\n\
         endLocal & goto #_undefined_# 2>NUL || title %COMSPEC% & \"%_prog%\"  \"%dp0%\\node_modules\\@openai\\codex\\bin\\codex.js\" %*\r\n",
        0o755,
    );
    let located = expect(&disk.explicit("~/npm/codex.cmd"), &native, Source::Explicit);
    assert_eq!(located.via, Some(cmd));
}

#[test]
fn a_wrapper_without_its_binary_is_named_with_it() {
    let disk = Disk::new();
    disk.wrapper("lib/node_modules");
    let link = disk.link("bin/codex", "../lib/node_modules/@openai/codex/bin/codex.js");
    let search = disk.search(&["/bin"]);
    let error = locate(&search).unwrap_err();
    let LocateError::NoNative { wrapper, package, expected } = &error else { panic!("{error}") };
    assert_eq!(wrapper, &link);
    let Platform { npm_suffix, triple, .. } = platform().unwrap();
    assert_eq!(package, &format!("@openai/codex-{npm_suffix}"));
    let usual = format!("lib/node_modules/@openai/codex-{npm_suffix}/vendor/{triple}/bin/codex");
    assert_eq!(expected.first(), Some(&disk.at(&usual)));
    let text = error.to_string();
    assert!(text.contains(&usual) && text.contains("bin/codex`, but not"), "{text}");

    // What we installed helps, and what was wrong is still told.
    let native = disk.platform_package("store/codex/0.169.0/node_modules", "bin");
    let located = expect(&search, &native, Source::Installed);
    assert!(matches!(&located.passed_over[..], [PassedOver { reason: Reason::NoNative(_), .. }]));
}

#[test]
fn the_newest_finished_installation_is_taken() {
    let disk = Disk::new();
    for version in ["0.98.0", "0.169.0-alpha.10", "0.169.0-alpha.9", "0.153.4", "0.170.0.partial-1"] {
        disk.platform_package(&format!("store/codex/{version}/node_modules"), "bin");
    }
    fs::create_dir_all(disk.at("store/codex/0.171.0")).unwrap();
    let mut search = disk.search(&[]);
    search.path = None;
    let program = locate(&search).unwrap().program;
    assert!(program.starts_with(disk.at("store/codex/0.169.0-alpha.10")), "{}", program.display());
    let native = disk.platform_package("store/codex/0.169.0/node_modules", "bin");
    let located = expect(&search, &native, Source::Installed);
    assert!(located.env.is_empty());
    let versions: Vec<_> = installed_versions(&search.installed).into_iter().map(|(version, _)| version).collect();
    assert_eq!(versions, ["0.171.0", "0.169.0", "0.169.0-alpha.10", "0.169.0-alpha.9", "0.153.4", "0.98.0"]);
}

#[test]
fn a_script_is_run_as_it_is() {
    let disk = Disk::new();
    let stub = disk.file("bin/codex", "#!/usr/bin/env python3\nprint('codex.js')\n", 0o755);
    assert_eq!(expect(&disk.search(&["/bin"]), &stub, Source::Path).via, None);
    assert_eq!(expect(&disk.explicit("codex"), &stub, Source::Explicit).args, [""; 0]);
    // The shim of a version manager knows what to do by the name that it is called by.
    disk.program("volta/volta-shim");
    let shim = disk.link("volta/codex", "volta-shim");
    expect(&disk.search(&["/volta"]), &shim, Source::Path);
    // A native build under another name is taken by its own.
    let real = disk.program("cask/codex-aarch64-apple-darwin");
    disk.link("brew/codex", "../cask/codex-aarch64-apple-darwin");
    expect(&disk.search(&["/brew"]), &real, Source::Path);
}

#[test]
fn a_command_may_be_a_file_a_name_or_a_line() {
    let disk = Disk::new();
    let spaced = disk.program("with space/my codex");
    expect(&disk.explicit("~/with space/my codex"), &spaced, Source::Explicit);
    let located = expect(&disk.explicit("'~/with space/my codex'  --a \"b c\" d\\ e ''"), &spaced, Source::Explicit);
    assert_eq!(located.args, ["--a", "b c", "d e", ""]);
    let python = disk.program("bin/python3");
    assert_eq!(expect(&disk.explicit("python3 -u ~/fake.py"), &python, Source::Explicit).args.len(), 2);

    disk.file("bin/plain", "", 0o644);
    for (command, part) in [
        ("", "is empty"),
        ("  ", "is empty"),
        ("'~/bin/python3", "not closed"),
        ("~/bin/absent", "/bin/absent` exists; correct --codex-cmd"),
        ("absent", "no program `absent` is on PATH"),
        ("plain", "is not executable"),
        ("~/bin/plain", "not a program that may be executed"),
        ("~/bin", "not a program that may be executed"),
    ] {
        let error = locate(&disk.explicit(command)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("--codex-cmd"), "{command}: {error}");
    }
}

#[test]
fn only_exact_versions_are_versions() {
    for good in ["0.98.0", "0.169.0", "10.0.0", "0.162.0-alpha.15", "1.0.0-rc.1"] {
        assert!(ExactVersion::parse(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "latest",
        "0.169",
        "^0.169.0",
        "~0.1.0",
        "0.x",
        "0.169.0-linux-x64",
        "v0.169.0",
        "0.169.00",
        "0.1.2.3",
        "../0.1.2",
        "0.169.0 ",
        "0.169.0.partial-12",
        ">=0.1.0",
        "0.1.0-alpha",
        "0.1.0-alpha.1.2",
        "+1.0.0",
        "0.1.0+build",
        "99999999999999999999.0.0",
    ] {
        assert!(ExactVersion::parse(bad).is_none(), "{bad}");
    }
    let ordered = ["0.98.0", "0.100.0", "0.162.0-alpha.9", "0.162.0-alpha.15", "0.162.0-beta.1", "0.162.0"];
    assert!(ordered.map(ExactVersion::parse).is_sorted());
}

#[test]
fn a_circle_of_links_ends() {
    let disk = Disk::new();
    disk.link("a", "b");
    disk.link("b", "a");
    assert!(Roots::new(&[disk.at("root")]).holding(&disk.at("a/codex")).is_none());
    assert_eq!(Roots::new(std::slice::from_ref(&disk.path)).holding(&disk.at("a/codex")), Some(disk.path.clone()));
}
