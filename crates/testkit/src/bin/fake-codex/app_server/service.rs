//! What is asked of no thread: models, the account, its limits.

use std::env;

use serde_json::{Value, json};

use super::checks::{Answer, refuse};
use crate::faults::Faults;
use crate::shapes;

/// `model/list`. A cursor is the number of the models before it.
pub(super) fn models(params: &Value, faults: &Faults) -> Answer {
    let cursor = params["cursor"].as_str();
    let begin = match cursor.map(str::parse::<usize>) {
        None => 0,
        Some(Ok(begin)) => begin,
        Some(Err(_)) => return refuse(format!("invalid cursor: {}", cursor.unwrap_or_default())),
    };
    let models: Vec<Value> = shapes::models()
        .into_iter()
        .filter(|model| params["includeHidden"] == true || model["hidden"] == false)
        .collect();
    let asked = params["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
    let limit = if faults.small_pages { 1 } else { asked.unwrap_or(models.len()) };
    let page: Vec<&Value> = models.iter().skip(begin).take(limit).collect();
    let next = begin + page.len();
    let cursor = (next < models.len()).then(|| next.to_string());
    Ok(json!({"data": page, "nextCursor": cursor}))
}

/// `account/read`.
pub(super) fn account() -> Value {
    json!({"account": null, "userId": null, "requiresOpenaiAuth": false, "workspaceRouting": null})
}

/// `account/rateLimits/read`: an error without an account, which the double has when `FAKE_CODEX_LIMITS` tells how many percent of
/// the first window are used.
pub(super) fn rate_limits() -> Answer {
    let used = env::var("FAKE_CODEX_LIMITS").ok().and_then(|used| used.parse::<u32>().ok());
    let Some(used) = used else {
        return refuse("codex account authentication required to read rate limits");
    };
    let mut limits = shapes::rate_limits();
    limits["primary"] = json!({"usedPercent": used, "windowDurationMins": 300, "resetsAt": 4_102_444_800_u64});
    limits["planType"] = json!("plus");
    Ok(json!({"accountId": null, "ordinaryUsageAllowed": null, "rateLimitResetCredits": null, "rateLimitUpsell": null,
        "rateLimitsByLimitId": {"codex": limits}, "rateLimits": limits}))
}
