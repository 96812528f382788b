//! A double in a process of its own, and what is said with it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

/// A running double.
pub(crate) struct Server {
    pub(crate) child: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    next: u64,
}

impl Server {
    pub(crate) fn start(home: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-codex"))
            .args(args)
            .env("CODEX_HOME", home)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawns");
        let stdin = child.stdin.take().expect("has stdin");
        let stdout = BufReader::new(child.stdout.take().expect("has stdout"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_default());
            }
        });
        Self { child, stdin, lines, next: 0 }
    }

    /// An app server that is initialised.
    pub(crate) fn app(home: &Path, env: &[(&str, &str)]) -> Self {
        let mut server = Self::start(home, &["app-server"], env);
        let hello = server.ask("initialize", &json!({"clientInfo": {"name": "test", "version": "1"}}));
        assert!(hello["result"]["userAgent"].as_str().is_some_and(|agent| agent.starts_with("test/0.169.0 ")));
        server
    }

    pub(crate) fn send(&mut self, message: &Value) {
        writeln!(self.stdin, "{message}").expect("is listening");
    }

    pub(crate) fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        self.send(&json!({"id": self.next, "method": method, "params": params}));
        self.next
    }

    /// Everything up to the message that is looked for.
    pub(crate) fn until(&self, found: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.lines.recv_timeout(PATIENCE).expect("goes on");
            let last = found(&message);
            messages.push(message);
            if last {
                return messages;
            }
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.until(|message| message["id"] == id && message["method"].is_null()).pop().expect("has answered")
    }

    pub(crate) fn thread(&mut self) -> String {
        let started = self.ask("thread/start", &json!({"cwd": "/", "sandbox": "read-only", "approvalPolicy": "never"}));
        started["result"]["thread"]["id"].as_str().expect("has an id").to_owned()
    }

    pub(crate) fn turn(&mut self, thread: &str, text: &str) -> Vec<Value> {
        self.request("turn/start", &prompt(thread, text));
        self.until(|message| message["method"] == "turn/completed")
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("dies");
        self.child.wait().expect("is reaped");
    }
}

pub(crate) fn prompt(thread: &str, text: &str) -> Value {
    json!({"threadId": thread, "input": [{"type": "text", "text": text}]})
}

pub(crate) fn answer(turn: &[Value]) -> &str {
    let completed = turn.last().expect("has an end");
    completed["params"]["turn"]["items"][0]["text"].as_str().unwrap_or_default()
}

/// The methods of notifications and questions, in order.
pub(crate) fn methods(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["method"].as_str().unwrap_or("(reply)")).collect()
}
