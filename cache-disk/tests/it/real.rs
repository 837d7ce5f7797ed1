//! A real file system that is really full, and one that becomes read-only.
//!
//! A child of this test gets a small one of its own, in a namespace of its own, for which nobody needs rights. Where the
//! system does not give that, its files are limited instead, and the system refuses what is beyond.

use std::path::Path;
use std::process::Command;

use cache_core::{Entry, ErrorKind, Store, StoreExt};
use cache_disk::Disk;
use tempfile::tempdir;

use crate::key;

const FOLDER: &str = "STRATA_DISK_SMALL_FOLDER";

/// What runs where there is little room. `$0` is the folder, `$1` this binary.
const SCRIPT: &str = r#"
run='mount -t tmpfs -o size=512k none "$0" && SMALL=tmpfs exec "$1" real::child --exact --nocapture'
if unshare --user --map-root-user --mount true; then
    exec unshare --user --map-root-user --mount sh -c "$run" "$0" "$1"
fi
trap '' XFSZ
ulimit -f 512
exec "$1" real::child --exact --nocapture
"#;

#[test]
fn a_full_file_system_and_a_read_only_one_are_survived() {
    let folder = tempdir().expect("a folder");
    let this = std::env::current_exe().expect("this binary has a path");
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).arg(folder.path()).arg(this).env(FOLDER, folder.path());
    let output = command.output().expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("it was survived"), "{said}\n{failed}");
}

/// What runs in that little room. Run as a test of its own it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let cache = folder.join("cache");
    pollster::block_on(async {
        // One segment is more than there is room for, so nothing can make room.
        let builder = Disk::builder(&cache).with_max_bytes(8 << 20).with_segment_bytes(2 << 20);
        let disk = builder.build().expect("it starts");
        let mut written = 0;
        for bytes in [10_000, 100, 0] {
            loop {
                match disk.put(key(written.to_string()), Entry::new(vec![1; bytes])).await {
                    Ok(()) => written += 1,
                    Err(error) => break assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}"),
                }
                assert!(written < 10_000, "so much fits nowhere here");
            }
        }
        assert!(written > 10 && disk.stats().io_errors > 0, "{written} written");
        for at in 0..written {
            assert!(disk.get(&key(at.to_string())).await.expect("reads do not fail").is_some(), "{at}");
        }
        let names: Vec<_> = (0..written).map(|at| key(at.to_string())).collect();
        for name in &names[..10] {
            disk.remove(name).await.expect("what cannot be noted is removed with its file");
        }
        disk.put(key("again"), Entry::new(vec![2; 10_000])).await.expect("there is room again");
        assert!(disk.get_many(&names[..10]).await.expect("reads do not fail").iter().all(Option::is_none));
        drop(disk);
        // A limit that is beyond the disk: its end takes the place of the limit.
        let builder = Disk::builder(&cache).with_max_bytes(8 << 20).with_segment_bytes(64 << 10);
        let disk = builder.build().expect("it starts");
        for at in 0..200 {
            let name = key(format!("more:{at}"));
            disk.put(name.clone(), Entry::new(vec![1; 10_000])).await.expect("the oldest make room");
            assert!(disk.get(&name).await.expect("reads do not fail").is_some(), "{at}");
        }
        disk.put(key("again"), Entry::new(vec![2; 10_000])).await.expect("there is room again");
        if std::env::var_os("SMALL").is_some() {
            read_only(folder, &disk).await;
        }
    });
    println!("it was survived");
}

async fn read_only(folder: &Path, disk: &Disk) {
    let cache = folder.join("cache");
    let remount =
        |how| Command::new("mount").args(["-o", how]).arg(folder).status().expect("it can be asked");
    // A file that is open for writing keeps a file system from becoming read-only.
    disk.close().await.expect("it closes");
    assert!(remount("remount,ro").success());
    let builder = || Disk::builder(&cache).with_max_bytes(8 << 20).with_segment_bytes(2 << 20);
    let disk = builder().build().expect("a cache is no reason not to start");
    assert_eq!(disk.get(&key("again")).await.expect("reads do not fail"), None);
    assert!(disk.put(key("new"), Entry::new("x")).await.is_err());
    assert!(disk.stats().io_errors > 0);
    drop(disk);
    assert!(remount("remount,rw").success());
    let disk = builder().build().expect("it starts");
    assert!(disk.get(&key("again")).await.expect("reads do not fail").is_some());
}
