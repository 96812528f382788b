//! Questions that only a person can answer. The fields are those of the schema of 0.169.0; the answer tells what the client replied.

use serde_json::{Value, json};

use super::{About, Question};
use crate::faults::Asked;
use crate::shapes::{self, now_ms};
use crate::threads::{Context, Thread};

impl Thread {
    pub(super) fn ask_person(&mut self, asked: Asked, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let request = *context.next_request;
        *context.next_request += 1;
        context.asked.insert(request, self.id.clone());
        turn.question = Some(Question { request, about: About::Person(asked) });
        let mut params = json!({"threadId": self.id, "turnId": turn.id});
        let (method, rest) = match asked {
            Asked::Input => (
                "item/tool/requestUserInput",
                json!({"itemId": format!("call_{}", shapes::new_id()), "isBlocking": true, "autoResolutionMs": null,
                    "questions": [{"id": "colour", "header": "Colour", "question": "Which colour?", "isOther": true,
                        "isSecret": false, "options": [{"label": "red", "description": "like fire"},
                            {"label": "blue", "description": "like the sea"}]}]}),
            ),
            Asked::Permissions => (
                "item/permissions/requestApproval",
                json!({"itemId": format!("call_{}", shapes::new_id()), "startedAtMs": now_ms(), "environmentId": null,
                    "cwd": self.cwd, "reason": "to fetch what is missing",
                    "permissions": {"network": {"enabled": true}, "fileSystem": null}}),
            ),
            Asked::Elicitation => (
                "mcpServer/elicitation/request",
                json!({"serverName": "fake", "mode": "form", "message": "How many?", "requestedSchema": {"type": "object",
                    "properties": {"count": {"type": "integer", "title": "Count"}}, "required": ["count"]}}),
            ),
            Asked::Unknown => {
                // Nobody waits for a reply to this one.
                context
                    .out
                    .send(&json!({"method": "future/ask", "id": "for nobody", "params": {"anything": [1, null]}}));
                ("item/future/ask", json!({"itemId": format!("call_{}", shapes::new_id()), "about": {"the": "future"}}))
            }
        };
        if let (Some(params), Some(rest)) = (params.as_object_mut(), rest.as_object()) {
            params.extend(rest.clone());
        }
        self.notify_status(context, &self.status());
        context.out.send(&json!({"method": method, "id": request, "params": params}));
    }

    pub(super) fn person_answered(&mut self, asked: Asked, response: &Value, context: &mut Context<'_>) {
        self.notify_status(context, &self.status());
        self.used(10, context);
        let told = if asked == Asked::Unknown { &response["error"] } else { &response["result"] };
        self.tell(format!("{}: {told}", asked.as_str()));
    }
}
