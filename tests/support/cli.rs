//! A gateway of the real binary, and commands of the real binary that talk to it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) admin: SocketAddr,
    pub(crate) folder: TempDir,
    process: Child,
}

/// Exit code, standard output, standard error.
pub(crate) type Said = (i32, String, String);

pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    pub(crate) fn start_with(more: &str) -> Self {
        // Between the choice of a port and its use somebody else may take it.
        (0..10).find_map(|_| Self::try_start(more)).expect("a gateway starts")
    }

    fn try_start(more: &str) -> Option<Self> {
        let (web, admin, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let config = folder.path().join("flaggate.toml");
        let text = format!(
            "[[listeners]]\nname = \"web\"\naddress = \"{web}\"\n[admin]\naddress = \"{admin}\"\n{more}[store]\nkind = \"memory\"\n\
             [access_log]\nenabled = false\n[upstreams.one]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
             [[routes]]\nname = \"all\"\nupstream = \"one\"\n"
        );
        fs::write(&config, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut gateway = Self { admin, folder, process };
        for _ in 0..2000 {
            if gateway.process.try_wait().unwrap().is_some() {
                return None;
            }
            if is_ready(admin) {
                return Some(gateway);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(arguments)
            .env("FLAGGATE_ADMIN", format!("http://{}", self.admin))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// The standard output of a command that works.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        out
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn is_ready(admin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(admin) else { return false };
    let mut line = String::new();
    let asked = write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok();
    asked && BufReader::new(stream).read_line(&mut line).is_ok() && line.contains(" 200 ")
}
