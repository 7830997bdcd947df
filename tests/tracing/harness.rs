//! A gateway of the real binary, an upstream that tells what it was told, and a client.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

use flaggate::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::collector::PATIENCE;

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) web: SocketAddr,
    admin: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
    process: Child,
}

pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// HMAC-SHA256 of `ada` with the secret of [`secret`].
pub(crate) const HASHED: &str = "714ed31c59eb1011926d4e4f38a10ca8fcc0a9238271e9c61d6a4ba447f64215";

pub(crate) fn secret() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "a secret of enough bytes").unwrap();
    file
}

/// The configuration that names users by their hash.
pub(crate) fn hashing(secret: &tempfile::NamedTempFile) -> String {
    format!("privacy = {{ hash_user_ids = true, secret_file = {:?} }}", secret.path().to_str().unwrap())
}

fn flags() -> Value {
    json!([
        {"key": "canary", "enabled": true, "rollout_enabled": true, "rollout_percentage": 100},
        {"key": "theme", "flag_type": "string", "default_value": "blue", "variants": {"blue": "blue", "red, \"1\"": "red"},
         "targeting_enabled": true, "targets": {"red, \"1\"": ["ada"]}},
        {"key": "off", "enabled": false},
    ])
}

impl Gateway {
    /// A gateway whose peers are trusted; `more` goes into the configuration's root.
    pub(crate) fn start(more: &str) -> Self {
        Self::start_with(more, "trusted_proxies = [\"127.0.0.1/32\"]")
    }

    /// The same with this in its listener.
    pub(crate) fn start_with(more: &str, listener: &str) -> Self {
        // Between the choice of a port and its use somebody else may take it.
        (0..10).find_map(|_| Self::try_start(more, listener)).expect("a gateway starts")
    }

    fn try_start(more: &str, listener: &str) -> Option<Self> {
        let (web, admin, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let file = |name: &str| folder.path().join(name);
        let (upstream, nobody) = (upstream(), free());
        let text = format!(
            "upstreams.stable.endpoints = [{{ address = \"{upstream}\" }}]
            upstreams.next.endpoints = [{{ address = \"{upstream}\" }}]
            upstreams.dead.endpoints = [{{ address = \"{nobody}\" }}]
            context.attributes.plan = {{ header = \"X-User-Plan\" }}
            context.environment = \"staging\"
            routes = [
                {{ name = \"dead\", match = {{ path_prefix = \"/dead\" }}, upstream = \"dead\" }},
                {{ name = \"shop\", match = {{ path_prefix = \"/shop\" }}, upstream = \"stable\", flags = [\"theme\", \"off\"],
                   canary = {{ flag = \"canary\", upstream = \"next\" }}, rewrite = {{ strip_prefix = \"/shop\" }} }},
            ]
            {more}
            [[listeners]]\nname = \"web\"\naddress = \"{web}\"\n{listener}
            [admin]\naddress = \"{admin}\"\n[store]\nkind = \"memory\"\nseed = {:?}\n",
            file("seed.json")
        );
        fs::write(file("seed.json"), flags().to_string()).unwrap();
        fs::write(file("flaggate.toml"), text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["run", "--config"])
            .arg(file("flaggate.toml"))
            .stdout(Stdio::from(fs::File::create(file("out")).unwrap()))
            .stderr(Stdio::from(fs::File::create(file("log")).unwrap()))
            .spawn()
            .unwrap();
        let mut gateway = Self { web, admin, folder, process };
        let by = clock::monotonic() + PATIENCE;
        while TcpStream::connect(web).is_err() {
            let log = gateway.read("log");
            if gateway.process.try_wait().unwrap().is_some() {
                assert!(log.contains("listen"), "{log}");
                return None;
            }
            assert!(clock::monotonic() < by, "the gateway does not start: {log}");
            thread::sleep(std::time::Duration::from_millis(10));
        }
        Some(gateway)
    }

    /// What a file of its folder says.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Stops it as an operator does, and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.process.wait().unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.web).unwrap()))
    }

    /// One request with these header lines: the status, and the body.
    pub(crate) fn get(&self, path: &str, headers: &str) -> (u16, String) {
        self.client().get(path, headers)
    }

    /// The value of a metric, by its whole name with labels; none: it is not there.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let mut client = Client(BufReader::new(TcpStream::connect(self.admin).unwrap()));
        let (status, text) = client.request("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(status, 200);
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a metric has at least this value, and gives it.
    pub(crate) fn await_metric(&self, name: &str, least: u64) -> u64 {
        let by = clock::monotonic() + PATIENCE;
        loop {
            match self.metric(name) {
                Some(value) if value >= least => return value,
                other => assert!(clock::monotonic() < by, "{name} is {other:?}\n{}", self.read("log")),
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A connection.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> (u16, String) {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: shop.example:8080\r\n{headers}\r\n"))
    }

    pub(crate) fn request(&mut self, request: &str) -> (u16, String) {
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let head = head(&mut self.0).expect("there is an answer");
        let length = header(&head, "content-length").first().and_then(|length| length.parse().ok());
        let mut body = vec![0; length.expect("the answer has a length")];
        self.0.read_exact(&mut body).unwrap();
        (head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
    }
}

/// The values of a header in a head.
pub(crate) fn header(head: &str, name: &str) -> Vec<String> {
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(head)
}

/// An upstream whose answers are what it was asked; below `/fail` they are errors.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.unwrap());
                while let Some(head) = head(&mut reader) {
                    let status = if head.contains(" /fail") { "503 Service Unavailable" } else { "200 OK" };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{head}", head.len());
                    if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
