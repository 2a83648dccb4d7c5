use std::fs;
use std::path::PathBuf;

use reloader_tests::Package;

use crate::desk::{Desk, named, number};

/// Pairs that Microsoft's tools made.
const DEBUGPY: Package = Package::wheel(
    "debugpy",
    "1.8.22",
    "win_amd64",
    "1e76339d5510bc17e9181dba9577508afcb21aad5728f1a55ef74d7d97d255f3",
);

pub fn pair(architecture: &str) -> Option<[PathBuf; 2]> {
    let root = DEBUGPY.unpacked()?.join("debugpy/_vendored/pydevd/pydevd_attach_to_process");
    let named = |ending| root.join(format!("run_code_on_dllmain_{architecture}.{ending}"));
    Some(["dll", "pdb"].map(named))
}

#[test]
fn a_windows_image_leads_to_the_pdb_beside_it() {
    let Some([dll, pdb]) = pair("amd64") else { return };
    let desk = Desk::new();
    let of_image = desk.json(["units".as_ref(), dll.as_os_str(), "--json".as_ref()]);
    let of_pdb = desk.json(["units".as_ref(), pdb.as_os_str(), "--json".as_ref()]);
    assert_eq!(of_image, of_pdb);
    assert_eq!(of_image["format"], "pdb");
    let units = of_image["units"].as_array().unwrap();
    let own: Vec<_> = units
        .iter()
        .filter(|unit| {
            unit["source"].as_str().is_some_and(|it| it.ends_with("run_code_on_dllmain.cpp"))
        })
        .collect();
    let [own] = &*own else { panic!("{units:?}") };
    assert_eq!(own["language"], "C++");
    assert_eq!(own["kind"], "source");
    assert_eq!(own["provenance"]["command"], "recorded");
    assert!(own["compiler"].as_str().unwrap().to_lowercase().ends_with("cl.exe"), "{own}");
    assert!(number(own, "size") > 0);
    assert!(
        own["arguments"].as_array().unwrap().iter().any(|it| it == "-DBITS_64"),
        "{}",
        own["command"]
    );
    assert!(units.iter().any(|unit| unit["kind"] == "runtime"));
    assert!(units.iter().any(|unit| unit["kind"] == "import"));
    assert!(of_image["linker"]["executable"].as_str().unwrap().ends_with("link.exe"));
    let [code] = *named(&of_image["groups"], ".text$mn") else { panic!("{of_image}") };
    assert_eq!(number(code, "address"), 0x1000);
}

#[test]
fn a_pdb_of_another_build_is_passed_by_and_named() {
    let (Some([dll, _]), Some([_, other])) = (pair("amd64"), pair("x86")) else { return };
    let desk = Desk::new();
    fs::copy(dll, desk.path("a.dll")).unwrap();
    fs::copy(other, desk.path("run_code_on_dllmain_amd64.pdb")).unwrap();
    let end = desk.run(["units", "a.dll"]);
    let error = end.failure(1);
    assert!(error.contains("a.dll: its PDB is not found"), "{error}");
    assert!(error.contains("run_code_on_dllmain_amd64.pdb: of another build"), "{error}");
}

#[test]
fn an_address_as_loaded_and_one_from_the_base_have_one_owner() {
    let Some([dll, _]) = pair("amd64") else { return };
    let desk = Desk::new();
    let dll = dll.to_str().unwrap();
    let all = desk.json(["owner", dll, "0x1000", "0x180001000", "--json"]);
    let [from_base, loaded] = [0, 1].map(|at| all["answers"][at]["places"][0].clone());
    assert_eq!(from_base, loaded);
    assert_eq!(from_base["group"], ".text$mn");
}

#[test]
fn what_was_kept_of_a_pdb_says_the_same_again() {
    let Some([dll, _]) = pair("amd64") else { return };
    let desk = Desk::new();
    let dll = dll.to_str().unwrap();
    for question in [
        &["owner", dll, "DllMain", "0x1234"][..],
        &["affected", dll, "attach.h"],
        &["affected", dll, "attach.h", "--commands"],
        &["units", dll, "--long"],
        &["compile-commands", dll],
    ] {
        let [first, again] = [0, 1].map(|_| {
            let end = desk.run(question.iter().chain(&["--cache-dir", "kept"]));
            assert_eq!(end.code, Some(0), "{}", end.error);
            (end.output, end.error)
        });
        assert_eq!(first, again, "{question:?}");
        let anew = desk.run(question.iter().chain(&["--no-cache"]));
        assert_eq!((anew.output, anew.error), again, "{question:?}");
    }
}
