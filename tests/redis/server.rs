//! Real Redis servers for tests: each on a port of its own, in a folder of its own, gone with its value.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use flaggate::config::Redis;
use tempfile::TempDir;

/// A server that runs.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// Starts `redis-server` with more arguments and waits until it answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(free_port(), arguments)
    }

    /// The same on a port whose cluster bus has one too: 10 000 higher.
    pub(crate) fn start_with_bus(arguments: &[&str]) -> Self {
        let ports = std::iter::repeat_with(free_port);
        let with_bus = |port: &u16| TcpListener::bind(("127.0.0.1", port.saturating_add(10_000))).is_ok();
        Self::start_at(ports.take(1000).find(with_bus).unwrap(), arguments)
    }

    /// Starts a sentinel that watches a master.
    pub(crate) fn start_sentinel(name: &str, master: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor {name} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 3000\n"
        );
        fs::write(&path, text).unwrap();
        let arguments = vec![path.display().to_string(), "--sentinel".to_owned()];
        let mut server = Self { port: free_port(), folder, arguments, process: None };
        server.resume();
        server
    }

    fn start_at(port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { port, folder, arguments, process: None };
        server.resume();
        server
    }

    /// Starts it again, on its port and with its folder.
    pub(crate) fn resume(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let process = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(self.folder.path())
            // Nothing is saved unless a test asks for it.
            .args(if self.arguments.contains(&"--sentinel".to_owned()) { &[][..] } else { &["--save", ""][..] })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started (scripts/setup test installs it)");
        self.process = Some(process);
        self.wait_until(|server| server.try_ask(&["PING"]).is_some_and(|answer| !answer.starts_with("-LOADING")));
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// How a store finds it.
    pub(crate) fn config(&self) -> Redis {
        Redis::at("127.0.0.1", self.port)
    }

    /// The answer to a command, as it comes over the wire.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        self.ask_bytes(&command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// The same for words that are no text.
    pub(crate) fn ask_bytes(&self, command: &[&[u8]]) -> String {
        let answer = ask(self.port, command).expect("the server answers");
        assert!(!answer.starts_with('-'), "{answer}");
        answer
    }

    fn try_ask(&self, command: &[&str]) -> Option<String> {
        ask(self.port, &command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// Waits, for half a minute at most: sentinels take their time between two failovers.
    pub(crate) fn wait_until(&self, reached: impl Fn(&Self) -> bool) {
        for _ in 0..6000 {
            if reached(self) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        panic!("the server on port {} did not come that far", self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks a server; `None`: it does not answer.
fn ask(port: u16, command: &[&[u8]]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut request = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend_from_slice(word);
        request.extend(b"\r\n");
    }
    stream.write_all(&request).ok()?;
    read_answer(&mut BufReader::new(stream))
}

/// The first line of a status, a number or an error; the text of a bulk string (empty for nil); the parts of a list, a
/// line each.
fn read_answer(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let line = line.trim_end();
    let count = || line.get(1..)?.parse::<i64>().ok();
    match line.bytes().next()? {
        b'$' => {
            let Ok(length) = usize::try_from(count()?) else { return Some(String::new()) };
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text).ok()?;
            Some(String::from_utf8_lossy(&text[..length]).into_owned())
        }
        b'*' => {
            let parts: Option<Vec<String>> = (0..count()?).map(|_| read_answer(stream)).collect();
            Some(parts?.join("\n"))
        }
        b'-' => Some(line.to_owned()),
        _ => Some(line[1..].to_owned()),
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
