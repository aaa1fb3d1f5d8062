//! Which file system a path lies on (Linux). Locks and shared memory of a
//! database do not work over a network, and SQLite notices that too late.

use std::path::Path;

const OVER_A_NETWORK: [&str; 13] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
];

/// The name of the network file system that `path` lies on, if it does and
/// the system tells.
pub fn network(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = path.parent()?.canonicalize().ok()?;
    network_of(&mounts, &folder)
}

/// Lines of `mountinfo`: the fifth word is where it is mounted (spaces as
/// `\040`), the first after the lone dash is its type. Later lines cover
/// earlier ones.
fn network_of(mounts: &str, folder: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?.replace("\\040", " ");
        let depth = Path::new(&place).components().count();
        folder
            .starts_with(&place)
            .then(|| Some((depth, kind.split(' ').next()?)))?
    });
    let (_, kind) = mounted.max_by_key(|(depth, _)| *depth)?;
    OVER_A_NETWORK.contains(&kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_decides() {
        let mounts = "\
            22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:40 / /srv rw - nfs4 server:/export rw\n\
            31 30 0:41 / /srv/my\\040data rw - xfs /dev/sdb1 rw\n\
            32 22 0:42 / /twice rw - xfs /dev/sdb2 rw\n\
            33 22 0:43 / /twice rw - cifs //server/share rw\n";
        let network = |folder: &str| network_of(mounts, Path::new(folder));
        assert_eq!(network("/var/lib/vestibule"), None);
        assert_eq!(network("/srv/vestibule"), Some("nfs4".to_owned()));
        assert_eq!(network("/srvant"), None);
        assert_eq!(network("/srv/my data/deep"), None);
        assert_eq!(network("/twice/x"), Some("cifs".to_owned()));
        assert_eq!(super::network(Path::new("/proc/self/status")), None);
    }
}
