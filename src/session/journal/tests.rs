use std::os::unix::fs::PermissionsExt;

use super::*;

const STEM: &str = "0a0b0c0d";

fn name(byte: u8) -> Name {
    [byte; 32]
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_crash_and_what_was_removed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("made/for/us");
    let journal = Journal::open(&place, STEM).unwrap();
    for byte in 0..5 {
        journal.keep(name(byte), vec![byte; 100]).await.unwrap();
    }
    journal.keep(name(1), b"another".to_vec()).await.unwrap();
    journal.remove(name(3)).await.unwrap();
    journal.remove(name(9)).await.unwrap();
    let expected = journal.entries();
    assert_eq!(expected.len(), 4);
    assert_eq!(expected[&name(1)], vec![1; 100], "the first one stays");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in files(&place, "") {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(&place), 0o700);
    drop(journal);
    assert_eq!(Journal::open(&place, STEM).unwrap().entries(), expected);
}

#[tokio::test]
async fn an_empty_journal_takes_no_room_and_a_long_history_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), STEM).unwrap();
    journal.keep(name(1), vec![1; 100]).await.unwrap();
    for round in 0..12 {
        journal.keep(name(2), vec![round; 60_000]).await.unwrap();
        journal.remove(name(2)).await.unwrap();
    }
    let [path] = &files(folder.path(), ".journal")[..] else {
        panic!("one file")
    };
    let length = std::fs::metadata(path).unwrap().len();
    assert!(length < 2 * SLACK as u64, "{length}");
    journal.remove(name(1)).await.unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
    let wrong = journal.keep(name(3), vec![0; MOST_BYTES]).await;
    assert!(wrong.is_err(), "bounded");
}

#[tokio::test]
async fn damaged_lines_are_set_aside_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), STEM).unwrap();
    journal.keep(name(1), vec![1]).await.unwrap();
    journal.keep(name(2), vec![2]).await.unwrap();
    drop(journal);
    let path = data_path(folder.path(), STEM, 0);
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("what\n{good}+ AAAA\n{}", &good[..40])).unwrap();
    let journal = Journal::open(folder.path(), STEM).unwrap();
    assert_eq!(journal.entries().len(), 2);
    let aside = std::fs::read_to_string(&files(folder.path(), ".damaged")[0]).unwrap();
    assert_eq!(aside.lines().count(), 3, "{aside}");
    journal.set_aside(name(1)).await.unwrap();
    assert_eq!(journal.entries().len(), 1);
    let aside = std::fs::read_to_string(&files(folder.path(), ".damaged")[0]).unwrap();
    assert_eq!(aside.lines().count(), 4, "{aside}");
}

#[tokio::test]
async fn sec_ses_22_links_and_leftovers_in_a_shared_folder_are_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("precious");
    std::fs::write(&target, "ours").unwrap();
    let fresh = data_path(folder.path(), STEM, 0).with_extension("new");
    std::os::unix::fs::symlink(&target, &fresh).unwrap();
    let journal = Journal::open(folder.path(), STEM).unwrap();
    journal.keep(name(1), vec![1]).await.unwrap();
    drop(journal);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "ours");
    // A file that others may read is not written to either.
    std::fs::write(&fresh, "").unwrap();
    std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o666)).unwrap();
    drop(Journal::open(folder.path(), STEM).unwrap());
    let path = data_path(folder.path(), STEM, 0);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(Journal::open(folder.path(), STEM).is_err());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "ours");
}

#[tokio::test]
async fn two_processes_share_a_folder_and_the_living_adopt_from_the_dead() {
    let folder = tempfile::tempdir().unwrap();
    let one = Journal::open(folder.path(), STEM).unwrap();
    let two = Journal::open(folder.path(), STEM).unwrap();
    let stranger = Journal::open(folder.path(), "ffffffff").unwrap();
    one.keep(name(1), vec![1]).await.unwrap();
    two.keep(name(2), vec![2]).await.unwrap();
    stranger.keep(name(3), vec![3]).await.unwrap();
    assert!(two.adopt().await.unwrap().is_empty(), "one still lives");
    drop((one, stranger));
    let adopted = two.adopt().await.unwrap();
    assert_eq!(adopted, Entries::from([(name(1), vec![1])]));
    assert_eq!(two.entries().len(), 2);
    assert!(two.adopt().await.unwrap().is_empty());
    drop(two);
    let third = Journal::open(folder.path(), STEM).unwrap();
    assert!(third.entries().is_empty(), "nobody has it twice");
    assert_eq!(third.adopt().await.unwrap().len(), 2);
}
