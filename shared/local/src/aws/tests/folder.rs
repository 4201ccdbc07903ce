use std::fs;
use std::path::Path;

use aws_sdk_kms::primitives::Blob;
use tempfile::tempdir;

use super::super::files::PrivateFile;
use super::super::{LocalAws, LocalError};

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[test]
fn files_of_the_data_folder_are_readable_by_the_owner_only() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("new/data");
    let aws = LocalAws::open(&folder).unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(aws.folder(), Some(folder.as_path()));
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
            entry.file_name().into_string().unwrap()
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "dynamodb.sqlite",
            "dynamodb.sqlite-shm",
            "dynamodb.sqlite-wal",
            "kms.json",
            "lock",
            "secrets.json",
        ]
    );
}

#[cfg(unix)]
#[test]
fn key_file_with_wider_permissions_is_restricted() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempdir().unwrap();
    drop(LocalAws::open(folder.path()).unwrap());
    let file = folder.path().join("kms.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    drop(LocalAws::open(folder.path()).unwrap());
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_folder_has_one_owner_until_the_last_client_is_gone() {
    let folder = tempdir().unwrap();
    let aws = LocalAws::open(folder.path()).unwrap();
    let error = LocalAws::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, LocalError::InUse { pid: Some(pid), .. } if *pid == std::process::id())
    );
    let message = error.to_string();
    assert!(
        message.contains(folder.path().to_str().unwrap()),
        "{message}"
    );
    assert!(message.contains("stop that process"), "{message}");

    let client = aws.kms();
    drop(aws);
    assert!(matches!(
        LocalAws::open(folder.path()),
        Err(LocalError::InUse { .. })
    ));
    drop(client);
    LocalAws::open(folder.path()).unwrap();
}

#[tokio::test]
async fn ciphertexts_and_secrets_survive_a_restart() {
    let folder = tempdir().unwrap();
    let aws = LocalAws::open(folder.path()).unwrap();
    let key_id = aws.kms_key_id().to_owned();
    let sealed = aws
        .kms()
        .encrypt()
        .key_id(&key_id)
        .plaintext(Blob::new("secret"));
    let sealed = sealed.send().await.unwrap().ciphertext_blob.unwrap();
    let secret = aws
        .secrets_manager()
        .create_secret()
        .name("app/one")
        .secret_string("value");
    let arn = secret.send().await.unwrap().arn.unwrap();
    super::dynamodb::make_table(&aws, "items").await;
    super::dynamodb::put(&aws, "items", "a", "1").await.unwrap();
    drop(aws);

    let aws = LocalAws::open(folder.path()).unwrap();
    assert_eq!(aws.kms_key_id(), key_id);
    let opened = aws
        .kms()
        .decrypt()
        .ciphertext_blob(sealed)
        .send()
        .await
        .unwrap();
    assert_eq!(opened.plaintext.unwrap().as_ref(), b"secret");
    let value = aws
        .secrets_manager()
        .get_secret_value()
        .secret_id(arn)
        .send()
        .await
        .unwrap();
    assert_eq!(value.secret_string.unwrap(), "value");
    assert_eq!(
        super::dynamodb::get(&aws, "items", "a").await.as_deref(),
        Some("1")
    );
}

#[test]
fn missing_key_file_is_not_replaced_by_a_new_key() {
    for name in ["kms.json", "secrets.json"] {
        let folder = tempdir().unwrap();
        drop(LocalAws::open(folder.path()).unwrap());
        fs::remove_file(folder.path().join(name)).unwrap();
        let error = LocalAws::open(folder.path()).unwrap_err();
        assert!(
            matches!(&error, LocalError::Incomplete { file, .. } if *file == name),
            "{error}"
        );
        assert!(!folder.path().join(name).exists());
    }
}

#[test]
fn damaged_key_file_is_an_error_and_stays_unchanged() {
    for contents in [
        "",
        "{}",
        r#"{"key_id":"k","created_ms":0,"versions":[]}"#,
        r#"{"key_id":"k",
        "created_ms":0,"versions":[{"version":1,"material":"c2hvcnQ="}]}"#,
    ] {
        let folder = tempdir().unwrap();
        let file = folder.path().join("kms.json");
        drop(LocalAws::open(folder.path()).unwrap());
        fs::write(&file, contents).unwrap();
        let error = LocalAws::open(folder.path()).unwrap_err();
        assert!(
            matches!(&error, LocalError::Damaged { path, .. } if *path == file),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), contents);
    }
}

#[test]
fn interrupted_write_leaves_the_old_contents() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("kept.json");
    let file = PrivateFile::at(path.clone());
    file.replace(b"old").unwrap();
    // A process that is killed before the rename leaves a partial file beside the real one.
    fs::write(path.with_extension("new"), b"hal").unwrap();
    assert_eq!(file.read().unwrap().unwrap(), b"old");
    file.replace(b"new contents").unwrap();
    assert_eq!(file.read().unwrap().unwrap(), b"new contents");
    assert!(!path.with_extension("new").exists());
}

#[test]
fn failed_write_changes_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("kept.json");
    let file = PrivateFile::at(path.clone());
    file.replace(b"old").unwrap();
    fs::create_dir(path.with_extension("new")).unwrap();
    assert!(matches!(file.replace(b"new"), Err(LocalError::Io { .. })));
    assert_eq!(file.read().unwrap().unwrap(), b"old");
}
