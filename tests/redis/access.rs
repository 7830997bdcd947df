//! Passwords, users, encryption.

use std::{fs, path::PathBuf};

use flaggate::{
    config::{Login, Redis, Secret},
    store::{RedisStore, Store},
};

use crate::{
    following::flag,
    server::{Server, free_port},
};

fn login(password: &str) -> Login {
    Login { username: Some("gate".to_owned()), password: Some(Secret::new(password)), password_file: None }
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_and_no_password_is_told() {
    let server = Server::start(&[]);
    let rights = "on >tell-nobody resetkeys ~* resetchannels &flaggate:changes +@all -@dangerous +role +info";
    let words: Vec<&str> = ["ACL", "SETUSER", "gate"].into_iter().chain(rights.split(' ')).collect();
    server.ask(&words);
    server.ask(&["ACL", "SETUSER", "default", "off"]);
    let store = RedisStore::new(Redis { login: login("tell-nobody"), ..server.config() });
    let mut hints = store.subscribe().await.unwrap();
    let written = store.write(flag("a")).await.unwrap();
    assert_eq!(hints.next().await.unwrap().revision, written.world);
    assert_eq!(store.load().await.unwrap().revision, written.world);

    // The file is read anew for each connection.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let from_file = Login { password: None, password_file: Some(path.clone()), ..login("") };
    let store = RedisStore::new(Redis { login: from_file, ..server.config() });
    let error = store.load().await.unwrap_err().to_string();
    assert!(error.contains("the password cannot be read from"), "{error}");
    fs::write(&path, "tell-no-one\n").unwrap();
    let error = store.load().await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(!told.contains("tell") && told.contains("cannot be connected to"), "{told}");
    fs::write(&path, "tell-nobody\n").unwrap();
    assert_eq!(store.load().await.unwrap().documents.len(), 1);

    let error = RedisStore::new(server.config()).load().await.unwrap_err().to_string();
    assert!(error.contains("NOAUTH") || error.contains("uthentication"), "{error}");
}

#[tokio::test]
async fn connections_are_encrypted_and_who_answers_is_checked() {
    let file = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name);
    let port = free_port();
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| file(name).display().to_string());
    let tls_port = port.to_string();
    let _server = Server::start(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]);
    let store = |ca: &str| RedisStore::new(Redis { tls: true, ca: Some(file(ca)), ..Redis::at("127.0.0.1", port) });
    let trusting = store("ca.pem");
    let mut hints = trusting.subscribe().await.unwrap();
    let written = trusting.write(flag("a")).await.unwrap();
    assert_eq!(hints.next().await.unwrap().revision, written.world);
    for (other, message) in [("another-ca.pem", "ertificate"), ("none.pem", "the authorities cannot be read")] {
        let error = store(other).load().await.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let plain = RedisStore::new(Redis::at("127.0.0.1", port)).load().await;
    assert!(plain.is_err());
}
