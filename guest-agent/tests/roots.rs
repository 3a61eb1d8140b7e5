//! Which root a request means.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use support::{Agent, Folder, run, work};
use vm_agent::r#gen::agent::*;

/// Two roots with a file of the same name, which in the image is reached by a link that would lead out of it.
fn two_roots() -> Option<(Folder, String, String)> {
    // SAFETY: plain system call.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("NOT TESTED, another root needs root");
        return None;
    }
    let folder = Folder::new();
    let (image, base) = (folder.path("image"), folder.path("base"));
    for (root, text) in [(&image, "image's"), (&base, "the base root's")] {
        fs::create_dir_all(format!("{root}/own")).unwrap();
        fs::write(format!("{root}/own/f"), text).unwrap();
    }
    symlink("/own", format!("{image}/etc")).unwrap();
    Some((folder, image, base))
}

fn stat(image: &str, base: &str, root: Root, path: &str) -> Result<u64, String> {
    let request = StatRequest { root: root.into(), path: path.into(), ..StatRequest::default() };
    let mut answers: Vec<StatResponse> = work(&["stat", image, base], &request)?;
    Ok(answers.pop().unwrap().info.unwrap().size)
}

#[test]
fn worker_enters_the_root_that_its_request_names() {
    let Some((_folder, image, base)) = two_roots() else { return };
    assert_eq!(stat(&image, &base, Root::Image, "/own/f"), Ok(7));
    assert_eq!(stat(&image, &base, Root::Unspecified, "/own/f"), Ok(7));
    assert_eq!(stat(&image, &base, Root::Base, "/own/f"), Ok(15));
    assert_eq!(stat(&image, &base, Root::Image, "/etc/f"), Ok(7));
    assert!(stat(&image, &base, Root::Base, "/etc/f").unwrap_err().starts_with("5 no-such-file "));
}

#[test]
fn root_that_there_is_not_is_refused_and_the_other_one_works() {
    let Some((_folder, _, base)) = two_roots() else { return };
    let lost = "process 1 of the image has ended";
    assert_eq!(stat(lost, &base, Root::Base, "/own/f"), Ok(15));
    assert_eq!(stat(lost, &base, Root::Image, "/own/f").unwrap_err().trim(), format!("9 no-root {lost}"));
}

#[test]
fn number_that_names_no_root_is_refused() {
    let request = StatRequest { root: 7, path: "/".into(), ..StatRequest::default() };
    assert!(work::<StatResponse>(&["stat", "/", "/"], &request).unwrap_err().starts_with("3 bad-root "));
}

#[test]
fn service_has_no_images_and_says_so() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let info: InfoResponse = client.unary("Info", &InfoRequest {}).await.unwrap();
        assert!(!info.capabilities.iter().any(|part| part == "enter" || part == "layer"), "{:?}", info.capabilities);
        let refused =
            support::refusal(&mut client, "Enter", &EnterRequest { slot: 1, ..EnterRequest::default() }).await;
        assert_eq!((refused.code, &*refused.reason), (9, "not-init"));
        let refused =
            support::refusal(&mut client, "Enter", &EnterRequest { slot: 9, ..EnterRequest::default() }).await;
        assert_eq!((refused.code, &*refused.reason), (3, "bad-slot"));
        let refused = support::refusal(&mut client, "GetLayer", &GetLayerRequest::default()).await;
        assert_eq!((refused.code, &*refused.reason), (9, "no-image"));
    });
}
