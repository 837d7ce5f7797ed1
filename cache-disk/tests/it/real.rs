//! A real file system that is really full, and one that becomes read-only; and what others do to files that are in use.
//!
//! A child of this test gets a small one of its own, in a namespace of its own, for which nobody needs rights. Where the
//! system does not give that, its files are limited instead, and the system refuses what is beyond.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use cache_core::{Entry, ErrorKind, Result, Store, StoreExt};
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

/// What somebody does to a file that is in use.
type Harm = fn(&Path);

#[pollster::test]
async fn what_is_done_to_files_in_use_makes_misses_and_is_over_with_the_next_writes() -> Result<()> {
    let harms: [(&str, Harm); 4] = [
        ("emptied", |file| {
            File::options().write(true).open(file).expect("it is there").set_len(0).expect("it is ours");
        }),
        ("zeroed", |file| {
            let bytes = usize::try_from(fs::metadata(file).expect("it is there").len()).expect("a small one");
            let file = File::options().write(true).open(file).expect("it is there");
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![0; bytes], 0).expect("it is ours");
        }),
        ("overwritten by another", |file| {
            let other = file.with_file_name("other");
            fs::write(&other, [7; 4096]).expect("it is ours");
            fs::rename(other, file).expect("it is ours");
        }),
        ("removed", |file| fs::remove_file(file).expect("it is there")),
    ];
    for (what, harm) in harms {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("cache");
        let builder = Disk::builder(&path).with_max_bytes(4 << 20);
        let disk = builder.clone().build().expect("a folder of its own");
        let names: Vec<_> = (0..40).map(|number| key(format!("k:{number}"))).collect();
        let put = async |disk: &Disk, round: usize| -> Result<()> {
            for name in &names {
                disk.put(name.clone(), Entry::new(format!("{round} of {name}"))).await?;
            }
            Ok(())
        };
        let read = async |disk: &Disk, newest: usize| -> Result<usize> {
            let mut found = 0;
            for name in &names {
                if let Some(entry) = disk.get(name).await? {
                    assert_eq!(entry.value, format!("{newest} of {name}"), "{what}");
                    found += 1;
                }
            }
            Ok(found)
        };
        put(&disk, 1).await?;
        assert_eq!(read(&disk, 1).await?, names.len());
        let segments = fs::read_dir(&path).expect("it is there").flatten().map(|entry| entry.path());
        segments
            .filter(|path| path.extension().is_some_and(|it| it == "segment"))
            .for_each(|path| harm(&path));
        let found = read(&disk, 1).await?;
        // What is open is read on where it stood, though nobody finds it there any more.
        assert!(found == 0 || what.starts_with("over") || what == "removed", "{what}: {found}");
        assert_eq!(disk.stats().corrupt, (names.len() - found) as u64, "{what}");
        put(&disk, 2).await?;
        let found = read(&disk, 2).await?;
        drop(disk);
        let disk = builder.build().expect("the folder is free");
        assert!(read(&disk, 2).await? <= found, "{what}: more than before");
        put(&disk, 3).await?;
        assert_eq!(read(&disk, 3).await?, names.len(), "{what}: after a restart all is well");
    }
    Ok(())
}
