//! The stream against a small server that answers each connection by a script, and hangs up.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use types::{Code, EventId};

use super::super::{EventQuery, Told, reading};
use crate::{Client, Error};

/// Much longer than a test takes, so that what ends is not ended by it.
const PATIENT: Duration = Duration::from_secs(60);

/// What a connection is answered.
#[derive(Clone)]
enum Play {
    /// A stream of this, and then the end.
    Stream(String),
    /// A stream of this that stays open and says nothing more.
    Silent(String),
    /// A refusal.
    Refuse(u16, &'static str),
    /// Nothing.
    HangUp,
}

/// A server that answers one connection after another; the requests that it heard.
struct Double {
    url: String,
    heard: mpsc::UnboundedReceiver<String>,
}

impl Double {
    async fn playing(plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (hear, heard) = mpsc::unbounded_channel();
        let plays = Arc::new(plays);
        tokio::spawn(async move {
            let mut open = Vec::new();
            for play in plays.iter() {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let _ = hear.send(request(&mut stream).await);
                let (head, body) = match play {
                    Play::Stream(text) | Play::Silent(text) => ("200 OK", text.as_str()),
                    Play::Refuse(401, body) => ("401 Unauthorized", *body),
                    Play::Refuse(404, body) => ("404 Not Found", *body),
                    Play::Refuse(_, body) => ("503 Service Unavailable", *body),
                    Play::HangUp => continue,
                };
                let head = format!("HTTP/1.1 {head}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                if matches!(play, Play::Silent(_)) {
                    open.push(stream);
                }
            }
            // Whatever comes now is refused, by a port that is closed.
            drop(listener);
            std::future::pending::<()>().await;
        });
        Self { url, heard }
    }

    /// The header of the next request.
    async fn last_event_id(&mut self) -> Option<String> {
        let request = self.heard.recv().await.unwrap();
        let line = request.lines().find(|line| line.starts_with("last-event-id: "))?;
        Some(line["last-event-id: ".len()..].to_owned())
    }
}

async fn request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(request).unwrap()
}

fn connected(last: i64) -> String {
    format!("event: server.connected\ndata: {{\"version\":\"2\",\"lastId\":{last},\"storeEpoch\":\"e\"}}\n\n")
}

fn event(id: i64) -> String {
    format!("id: {id}\nevent: turn.started\ndata: {{\"turnId\":\"u\"}}\n\n")
}

/// All that a stream tells, in few words, and what ended it.
async fn all(double: &Double, which: EventQuery, silence: Duration) -> (Vec<String>, Error) {
    let client = Client::tcp(&double.url, Some("t")).unwrap();
    let (tell, mut told) = mpsc::channel(1);
    tokio::spawn(reading::run(client, which, silence, tell));
    let mut words = Vec::new();
    while let Some(next) = told.recv().await {
        words.push(match next {
            Ok(Told::Connected { last, .. }) => format!("connected {}", last.0),
            Ok(Told::Event(event)) => format!("event {}", event.id.unwrap().0),
            Ok(Told::Lost { .. }) => "lost".to_owned(),
            Ok(Told::Closing { reason }) => format!("closing: {reason}"),
            Ok(told) => panic!("{told:?}"),
            Err(error) => return (words, error),
        });
    }
    panic!("it ended without a word: {words:?}")
}

const NO_TOKEN: &str = r#"{"title":"no","detail":"show a token","code":"UNAUTHORIZED"}"#;

#[tokio::test]
async fn it_comes_back_with_its_last_number_and_ends_when_it_is_refused() {
    let mut double = Double::playing(vec![
        Play::Stream(format!(
            "{}{}: alive\n\n{}id: 9\nevent: turn.completed\ndata: {{\"cut",
            connected(3),
            event(4),
            event(6)
        )),
        Play::HangUp,
        Play::Refuse(503, r#"{"detail":"stopping","code":"SHUTTING_DOWN"}"#),
        Play::Stream(format!("{}{}{}", connected(9), event(6), event(9))),
        Play::Refuse(401, NO_TOKEN),
    ])
    .await;
    let which = EventQuery { session: Some("a/b".to_owned()), patience: PATIENT, ..EventQuery::default() };
    let (told, error) = all(&double, which, PATIENT).await;
    assert_eq!(told, ["connected 3", "event 4", "event 6", "lost", "connected 9", "event 9", "lost"]);
    assert_eq!(error.code(), Some(Code::Unauthorized), "{error}");
    let first = double.heard.recv().await.unwrap();
    assert!(first.starts_with("GET /v1/sessions/a%2Fb/events HTTP/1.1\r\n"), "{first}");
    assert!(!first.contains("last-event-id") && first.contains("Bearer t"), "{first}");
    for expected in ["6", "6", "6", "9"] {
        assert_eq!(double.last_event_id().await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_refusal_at_the_door_is_the_end() {
    let no_session = r#"{"detail":"there is no session","code":"NO_SESSION"}"#;
    for (play, code) in
        [(Play::Refuse(401, NO_TOKEN), Code::Unauthorized), (Play::Refuse(404, no_session), Code::NoSession)]
    {
        let mut double = Double::playing(vec![play, Play::Stream(connected(1))]).await;
        let which = EventQuery { after: Some(EventId(5)), patience: PATIENT, was_there: true, ..EventQuery::default() };
        let (told, error) = all(&double, which, PATIENT).await;
        assert_eq!((told.len(), error.code()), (0, Some(code)), "{told:?} {error}");
        assert_eq!(double.last_event_id().await.as_deref(), Some("5"));
        assert!(double.heard.try_recv().is_err(), "it asked again");
    }
}

#[tokio::test]
async fn silence_is_a_lost_connection() {
    let mut double =
        Double::playing(vec![Play::Silent(format!("{}{}", connected(0), event(1))), Play::Refuse(401, NO_TOKEN)]).await;
    let which = EventQuery { patience: PATIENT, ..EventQuery::default() };
    let (told, _) = all(&double, which, Duration::from_millis(300)).await;
    assert_eq!(told, ["connected 0", "event 1", "lost"]);
    assert_eq!(double.last_event_id().await, None);
    assert_eq!(double.last_event_id().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_daemon_that_stays_away_is_not_waited_for_for_ever() {
    let closing = "event: server.closing\ndata: {\"reason\":\"codexd is stopping\"}\n\n";
    let double = Double::playing(vec![Play::Stream(format!("{}{closing}", connected(2)))]).await;
    let which = EventQuery { patience: Duration::from_millis(500), ..EventQuery::default() };
    let (told, error) = all(&double, which, PATIENT).await;
    assert_eq!(told, ["connected 2", "closing: codexd is stopping"], "it is told once");
    assert!(error.is_cut(), "{error}");
}

#[tokio::test]
async fn what_is_no_stream_of_events_ends_it() {
    let bad = |text: &str| Play::Stream(format!("{}{text}\n\n", connected(1)));
    for play in [bad("event: x\ndata: {not json"), bad("id: many\nevent: x\ndata: {}")] {
        let double = Double::playing(vec![play, Play::Stream(connected(1))]).await;
        let which = EventQuery { patience: PATIENT, ..EventQuery::default() };
        let (_, error) = all(&double, which, PATIENT).await;
        assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    }
}
