//! A scripted model: the part of OpenAI's Responses API that Codex uses, on loopback.
//!
//! `codexd demo` and the tests run the real Codex CLI against it, so that they need no account, no network and no luck.
//!
//! # Theory of operation
//!
//! [`FakeModel::start`] binds `127.0.0.1` on a free port and answers `POST /v1/responses` with server-sent events and `GET /v1/models` with
//! an empty list; everything else is a 404. It keeps no conversation of its own: Codex sends the whole history with each request
//! (`store: false`), so what to do next is read from the request alone, and any number of threads may talk at once.
//!
//! A turn is scripted by the **last message of the user** in the request. Each of its lines may be one of the words of the table below;
//! other lines are ordinary prose. Messages that Codex writes itself in the user's name (`<environment_context>`, `AGENTS.md`,
//! `<turn_aborted>` and their like) are not the user's and are passed over.
//!
//! | line | effect |
//! |---|---|
//! | (none of these) | answers `echo: ` and the first line of the prompt, cut at 200 characters |
//! | `RECALL` | answers with every earlier text of the user and the assistant, in order, one line each (`user: ..`, `assistant: ..`, `summary: ..` for what a compaction left), then `count: N` |
//! | `OPTIONS` | answers with what the turn was given, as a line of JSON: `effort`, `images` (their addresses), `model`, `schema` |
//! | `SAY:<text>` | answers exactly the text |
//! | `SLOW:<n>[:<ms>]` | answers `1 2 3 .. n` in n deltas, ms apart (50 unless told) |
//! | `TIMES:<n>[:<ms>]` | the same, but each delta is the moment at which it was said ([`answers::moment`]) |
//! | `BIG:<bytes>` | an answer of exactly that many bytes (at most 64 MiB), always the same ones, that ends with `END` |
//! | `REASON:<text>` | a reasoning summary before the answer; the answer is `reasoned` unless another line says more |
//! | `RUN:<command>` | calls the shell tool that the request offers; the answer is `ran: <output>`, cut at 4 kB, or `ran (exit N): <output>` |
//! | `ESCALATE:<command>` | the same, asking to run outside the sandbox, which is what makes Codex ask for approval |
//! | `PATCH:<file>:<text>` | adds a file of one line by `apply_patch`; the answer is `patched`, or `patch failed: ..` |
//! | `FAIL:<status>` | that HTTP status (400 to 599) with a JSON error body |
//! | `CONTEXT` | the response fails with `context_length_exceeded` |
//! | `CUT` | the stream breaks after the first half of an answer |
//! | `HANG` | headers, and then nothing for as long as the client stays |
//! | `COMPACT:<answer>` | no answer: from now on a compaction is answered by that, one of `SAY`, `SLOW`, `TIMES`, `BIG`, `FAIL`, `CONTEXT`, `CUT`, `HANG` |
//!
//! `FAIL`, `CONTEXT` and `HANG` take effect at once. Lines that call a tool (`RUN`, `ESCALATE`, `PATCH`) run one after another, one call in each request of the model, and then the answer
//! follows: what the first answering line says, or else what each tool did, one line each. Which calls are done is the number of tool
//! outputs that follow the user's message in the request. A request of Codex to compact the conversation is answered with
//! `summary of N messages`, unless a `COMPACT:` of an earlier prompt says otherwise (the last one counts).
//!
//! # What it promises
//!
//! - The same request gets the same answer: no clock and no chance is in it. Only the ids differ, also
//!   from those of a model that ran before, and what `TIMES` says.
//! - Usage is made of the sizes of the texts (four bytes a token) and never exceeds 100,000 tokens, so that Codex does not begin to
//!   compact a conversation by itself. (After `CONTEXT` Codex 0.169.0 does, at the start of the next turn.)
//! - Memory is bounded: of the recorded requests the newest 10,000 are kept and at most 64 MiB of them; a body over 64 MiB is refused.
//! - Dropping the [`FakeModel`] ends it: the port closes and open answers break off.
//!
//! It checks no credentials and no model name, looks at no image, and knows nothing of tools other than the shell, or of websockets.

pub mod answers;
mod conversation;
mod events;
mod player;
mod script;
mod server;

pub use script::{Answer, Script, Step};
pub use server::{FakeModel, RecordedRequest};
