//! The saved conversation for a thread that knows nothing of it: the newest messages that fit a budget.

use store::Message;
use types::{Delivery, Role, TurnId};

/// Stands where the beginning of a message was cut off.
const CUT: &str = "[… the beginning of this message is left out …] ";

/// The newest messages of a history within `budget` characters, oldest first; cut between messages. Only a newest message that
/// is too long by itself is cut inside, so that a long answer does not cost the session its whole memory. What Codex never heard is not part of the conversation, and neither is the turn that is about to be sent.
pub(crate) fn select(history: Vec<Message>, current: &TurnId, budget: usize) -> Vec<(Role, String)> {
    let mut left = budget;
    let mut kept: Vec<(Role, String)> = Vec::new();
    let said = history.into_iter().filter(|message| message.turn != *current && message.delivery != Delivery::No);
    for message in said.collect::<Vec<_>>().into_iter().rev() {
        let size = message.text.chars().count();
        if size > left {
            if kept.is_empty() && left > 0 {
                let end: String = message.text.chars().skip(size - left).collect();
                kept.push((message.role, format!("{CUT}{end}")));
            }
            break;
        }
        left -= size;
        kept.push((message.role, message.text));
    }
    kept.reverse();
    kept
}

/// The messages and the prompt in one text, for interfaces that take no messages with roles.
pub(crate) fn marked(messages: &[(Role, String)], prompt: &str) -> String {
    if messages.is_empty() {
        return prompt.to_owned();
    }
    let mut text = String::from(
        "[The conversation so far, saved by codexd because the earlier thread is gone. Treat it as what was said before; \
         the new message follows after it.]\n",
    );
    for (role, message) in messages {
        let who = match role {
            Role::User => "User",
            Role::Assistant => "Assistant",
        };
        text.push_str(&format!("\n{who}: {message}\n"));
    }
    text.push_str("\n[End of the saved conversation. The new message:]\n\n");
    text.push_str(prompt);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Timestamp;

    use super::*;

    fn message(turn: &TurnId, role: Role, text: &str, delivery: Delivery) -> Message {
        Message { turn: turn.clone(), role, text: text.to_owned(), at: Timestamp::from_millis(0), delivery }
    }

    #[test]
    fn undelivered_and_current_prompts_are_left_out() {
        let (old, lost, current) = (TurnId::fresh(), TurnId::fresh(), TurnId::fresh());
        let history = vec![
            message(&old, Role::User, "one", Delivery::Yes),
            message(&old, Role::Assistant, "1", Delivery::Yes),
            message(&lost, Role::User, "two", Delivery::No),
            message(&current, Role::User, "three", Delivery::Unknown),
        ];
        let kept = select(history, &current, 1000);
        assert_eq!(kept, [(Role::User, "one".to_owned()), (Role::Assistant, "1".to_owned())]);
        assert!(marked(&kept, "three").ends_with("\n\nthree"));
        assert_eq!(marked(&[], "three"), "three");
    }

    proptest! {
        #[test]
        fn the_newest_whole_messages_within_the_budget(texts in prop::collection::vec("\\PC{0,20}", 0..12), budget in 0_usize..120) {
            let (turn, current) = (TurnId::fresh(), TurnId::fresh());
            let history: Vec<_> = texts.iter().map(|text| message(&turn, Role::User, text, Delivery::Yes)).collect();
            let kept: Vec<String> = select(history, &current, budget).into_iter().map(|(_, text)| text).collect();
            if let [cut] = &kept[..] && let Some(end) = cut.strip_prefix(CUT) {
                let newest = texts.last().map(String::as_str).unwrap_or_default();
                prop_assert!(newest.ends_with(end) && newest.chars().count() > budget && end.chars().count() == budget);
                return Ok(());
            }
            let total: usize = kept.iter().map(|text| text.chars().count()).sum();
            prop_assert!(total <= budget);
            prop_assert_eq!(&kept[..], &texts[texts.len() - kept.len()..]);
            if kept.len() < texts.len() {
                prop_assert!(total + texts[texts.len() - kept.len() - 1].chars().count() > budget);
            }
        }
    }
}
