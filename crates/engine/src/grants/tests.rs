//! Tokens: made, found, rotated, ended.

use super::*;

fn grant(name: &str) -> Grant {
    Grant {
        created_at: Timestamp::from_millis(0),
        ..Grant::new(name.to_owned(), vec![Scope::Run, Scope::Read, Scope::Run])
    }
}

/// The name of the grant that a token opens.
fn opens(grants: &Grants, token: &str) -> Option<String> {
    grants.find(token.as_bytes()).map(|(grant, _)| grant.name.clone())
}

#[tokio::test]
async fn a_token_is_shown_once_counts_at_once_and_outlives_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let grants = Grants::load(&store).await.unwrap();
    let (made, token) = grants.add(&store, grant("a")).await.unwrap();
    assert_eq!(made.scopes, [Scope::Read, Scope::Run]);
    assert!(token.starts_with(TOKEN_PREFIX) && token.len() == TOKEN_PREFIX.len() + 43, "{token}");
    assert_eq!(opens(&grants, &token).as_deref(), Some("a"));
    assert_eq!(opens(&grants, "cdx_other"), None);
    assert_eq!(grants.add(&store, grant("a")).await.unwrap_err().code, Code::BadRequest);

    let again = Grants::load(&store).await.unwrap();
    assert_eq!(opens(&again, &token).as_deref(), Some("a"));
    again.remove(&store, "a").await.unwrap();
    assert_eq!(opens(&again, &token), None);
    assert_eq!(again.remove(&store, "a").await.unwrap_err().code, Code::NotFound);
    assert!(again.of(&Principal::Grant("a".to_owned())).is_err());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let grants = Grants::default();
    let ended = Grant { expires_at: Some(Timestamp::from_millis(1)), ..grant("x") };
    let nothing = Grant { scopes: Vec::new(), ..grant("x") };
    let relative = Grant { roots: vec!["x".into()], ..grant("x") };
    for wrong in [ended, nothing, relative, grant(""), grant("a b"), grant(AT_START), grant(&"x".repeat(65))] {
        let name = wrong.name.clone();
        assert_eq!(grants.add(&store, wrong).await.unwrap_err().code, Code::BadRequest, "{name}");
    }
    assert!(grants.list().is_empty());
}

#[test]
fn nobody_makes_a_token_that_opens_more_than_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = dunce::canonicalize(dir.path()).unwrap();
    let own = Grant {
        scopes: vec![Scope::Read, Scope::Admin],
        roots: vec![root.clone()],
        max_sandbox: Some(types::Sandbox::ReadOnly),
        expires_at: Some(Timestamp::from_millis(100)),
        ..grant("own")
    };
    let fine = Grant { scopes: vec![Scope::Read], name: "new".to_owned(), ..own.clone() };
    assert_eq!(check_no_wider(&own, &fine), Ok(()));
    for wider in [
        Grant { scopes: vec![Scope::Run], ..fine.clone() },
        Grant { roots: Vec::new(), ..fine.clone() },
        Grant { roots: vec![root.join("..")], ..fine.clone() },
        Grant { max_sandbox: None, ..fine.clone() },
        Grant { max_sandbox: Some(types::Sandbox::WorkspaceWrite), ..fine.clone() },
        Grant { expires_at: None, ..fine.clone() },
        Grant { expires_at: Some(Timestamp::from_millis(101)), ..fine },
    ] {
        assert_eq!(check_no_wider(&own, &wider).unwrap_err().code, Code::Forbidden, "{wider:?}");
    }
}

#[test]
fn the_last_use_is_noted_once_a_minute() {
    let grants = Grants::default();
    grants.change(|known| known.push(Known::stored(grant("a"), hash("t"), None)));
    let at = |millis| Timestamp::from_millis(millis);
    assert!(grants.used("a", at(1_000)));
    assert!(!grants.used("a", at(60_999)));
    assert!(grants.used("a", at(61_000)));
    assert!(!grants.used("b", at(61_000)));
}

#[tokio::test]
async fn a_rotated_token_opens_the_same_and_the_old_one_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let grants = Grants::load(&store).await.unwrap();
    let (made, old) = grants.add(&store, grant("a")).await.unwrap();
    let (_, key) = grants.find(old.as_bytes()).unwrap();
    let who = Principal::Grant("a".to_owned());
    assert!(grants.hold(&who, Some(key)));

    let (rotated, new) = grants.rotate(&store, "a", Duration::ZERO).await.unwrap();
    assert_eq!(Grant { rotated_at: None, ..rotated.clone() }, made);
    assert!(rotated.rotated_at.is_some() && new.starts_with(TOKEN_PREFIX) && new != old);
    for grants in [&grants, &Grants::load(&store).await.unwrap()] {
        assert_eq!((opens(grants, &old), opens(grants, &new).as_deref()), (None, Some("a")));
        assert!(!grants.hold(&who, Some(key)), "who came with the old one is not let go on");
    }
    assert_eq!(grants.rotate(&store, "b", Duration::ZERO).await.unwrap_err().code, Code::NotFound);
    assert_eq!(grants.rotate(&store, AT_START, Duration::ZERO).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn with_a_grace_the_old_token_opens_until_then_and_no_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let grants = Grants::load(&store).await.unwrap();
    let (_, first) = grants.add(&store, grant("a")).await.unwrap();
    let hour = Duration::from_secs(3600);
    let (_, second) = grants.rotate(&store, "a", hour).await.unwrap();
    for grants in [&grants, &Grants::load(&store).await.unwrap()] {
        assert!(opens(grants, &first).is_some() && opens(grants, &second).is_some());
        let until = grants.list()[0].previous_until.unwrap();
        assert!(until > Timestamp::now(), "{until}");
    }
    let (_, third) = grants.rotate(&store, "a", hour).await.unwrap();
    assert!(opens(&grants, &first).is_none(), "of old ones only the last");
    assert!(opens(&grants, &second).is_some() && opens(&grants, &third).is_some());
    // Its time is over.
    grants.change(|known| known[0].previous.as_mut().unwrap().until = Timestamp::now());
    assert!(opens(&grants, &second).is_none() && opens(&grants, &third).is_some());
}

#[tokio::test]
async fn what_has_ended_is_not_rotated_into_life() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let grants = Grants::load(&store).await.unwrap();
    grants.add(&store, grant("a")).await.unwrap();
    grants.change(|known| Arc::make_mut(&mut known[0].grant).expires_at = Some(Timestamp::now()));
    assert_eq!(grants.rotate(&store, "a", Duration::ZERO).await.unwrap_err().code, Code::BadRequest);
}
