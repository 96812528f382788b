//! The scripted model as a client on the wire sees it.
#![allow(clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::time::Duration;

use fake_model::FakeModel;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a prompt and returns the answer's head and body, as far as they came.
async fn ask(model: &FakeModel, input: Value) -> (String, String) {
    let body = json!({"model": "m", "stream": true, "input": input,
        "tools": [{"type": "function", "name": "exec_command", "parameters": {"properties": {}}}]})
    .to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", model.port())).await.expect("connects");
    let request = format!(
        "POST /v1/responses HTTP/1.1\r\nhost: x\r\nthread-id: t1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    // A cut stream ends in an error; what had come is kept.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("answers in time");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("has a head");
    (head.to_owned(), body.to_owned())
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// The events of an SSE body.
fn events(body: &str) -> Vec<Value> {
    body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

fn text(body: &str) -> String {
    events(body)
        .iter()
        .find(|event| event["type"] == "response.output_item.done" && event["item"]["type"] == "message")
        .and_then(|event| event["item"]["content"][0]["text"].as_str())
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn echoes_and_counts_and_records() {
    let model = FakeModel::start().await.expect("starts");
    let (head, body) = ask(&model, json!([user("hello\nthere")])).await;
    assert!(head.starts_with("HTTP/1.1 200"));
    assert!(head.contains("text/event-stream"));
    assert_eq!(text(&body), "echo: hello");
    let events = events(&body);
    let kinds: Vec<_> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.output_item.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_item.done",
            "response.completed"
        ]
    );
    let usage = &events.last().expect("has events")["response"]["usage"];
    assert!(usage["input_tokens"].as_u64() > usage["input_tokens_details"]["cached_tokens"].as_u64());
    let requests = model.requests();
    assert_eq!(model.request_count(), 1);
    assert_eq!(requests[0].thread_id.as_deref(), Some("t1"));
    assert_eq!(requests[0].prompt(), "hello\nthere");
}

#[tokio::test]
async fn plays_one_step_a_request_and_then_answers() {
    let model = FakeModel::start().await.expect("starts");
    let mut input = vec![user("RUN:ls\nPATCH:f:x")];
    let (_, body) = ask(&model, json!(input)).await;
    let call = &events(&body)[1]["item"];
    assert_eq!(call["arguments"], r#"{"cmd":"ls"}"#);
    input.push(json!({"type": "function_call_output", "call_id": "1", "output": "Process exited with code 0\nOutput:\nf.txt\n"}));
    let (_, body) = ask(&model, json!(input)).await;
    assert!(body.contains("*** Add File: f"));
    input.push(
        json!({"type": "function_call_output", "call_id": "2", "output": "Success. Updated the following files"}),
    );
    let (_, body) = ask(&model, json!(input)).await;
    assert_eq!(text(&body), "ran: f.txt\npatched");
}

#[tokio::test]
async fn says_when_it_says_a_delta() {
    let now = || fake_model::answers::moment().trim_end().parse::<u64>().expect("is a number");
    let model = FakeModel::start().await.expect("starts");
    let before = now();
    let (_, body) = ask(&model, json!([user("TIMES:3:20")])).await;
    let after = now();
    let deltas: Vec<_> = events(&body).iter().filter_map(|event| event["delta"].as_str().map(str::to_owned)).collect();
    assert_eq!(deltas.len(), 3);
    assert_eq!(text(&body), deltas.concat());
    assert!(deltas.iter().all(|delta| delta.len() == 20 && delta.ends_with(' ')), "{deltas:?}");
    let told: Vec<u64> = deltas.iter().map(|delta| delta.trim_end().parse().expect("is a number")).collect();
    assert!(before <= told[0] && told[2] <= after, "{before} .. {told:?} .. {after}");
    assert!(told.windows(2).all(|two| two[0] + 19_000_000 <= two[1]), "{told:?}");
}

#[tokio::test]
async fn fails_as_it_is_told() {
    let model = FakeModel::start().await.expect("starts");
    let (head, body) = ask(&model, json!([user("FAIL:429")])).await;
    assert!(head.starts_with("HTTP/1.1 429"));
    assert!(body.contains("scripted failure 429"));
    let (_, body) = ask(&model, json!([user("CONTEXT")])).await;
    assert!(body.contains("context_length_exceeded"));
    let (_, body) = ask(&model, json!([user("CUT")])).await;
    assert!(body.contains("the first half"));
    assert!(!body.contains("response.completed"));
}

#[tokio::test]
async fn a_hanging_answer_ends_with_the_model() {
    let model = FakeModel::start().await.expect("starts");
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", model.port())).await.expect("connects");
        let body = json!({"input": [user("HANG")]}).to_string();
        let request = format!("POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("writes");
        stream
    };
    let (mut stream, ()) = tokio::join!(asked, model.wait_for_requests(1));
    let mut head = [0_u8; 15];
    stream.read_exact(&mut head).await.expect("has sent its headers");
    let port = model.port();
    drop(model);
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn knows_no_models() {
    let model = FakeModel::start().await.expect("starts");
    let mut stream = TcpStream::connect(("127.0.0.1", model.port())).await.expect("connects");
    stream
        .write_all(b"GET /v1/models?client_version=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.contains(r#""data":[]"#));
}
