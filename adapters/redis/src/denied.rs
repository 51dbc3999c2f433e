//! What Redis says to a user who may not do something, in words that say what to do.

/// What is said of the user.
pub(crate) const DENIED: &str = "does not let its user";
/// Where to look.
pub(crate) const LISTS: &str = "docs/redis.md lists all that Laneway needs";

/// What is wrong if `text` is an answer of Redis that the user may not do something there.
pub(crate) fn denied(text: &str, place: &str, user: &str) -> Option<String> {
    let is_denied = text.starts_with("NOPERM ")
        || text.starts_with("ERR ACL failure in script")
        // Redis 7.0.
        || text.starts_with("ERR The user executing the script can't");
    if !is_denied {
        return None;
    }
    let whom = format!("Redis at {place} {DENIED} `{user}`");
    let quoted = text.split('\'').nth(1).filter(|_| text.contains("to run the '"));
    Some(match quoted {
        Some(command) => {
            format!("{whom} run `{command}`: grant it (ACL SETUSER {user} +{command}); {LISTS}")
        }
        None if text.contains("run this command") => {
            format!("{whom} run a command of Laneway's functions; {LISTS} ({text})")
        }
        None => format!(
            "{whom} use the store's keys: grant them (ACL SETUSER {user} ~{{laneway}}:* ~{{laneway:*}}:*, with \
             store.key_prefix instead of laneway); {LISTS} ({text})"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_command_is_named_with_its_user_and_the_cure() {
        for (text, command) in [
            ("NOPERM this user has no permissions to run the 'config|get' command", "config|get"),
            ("NOPERM User lane has no permissions to run the 'info' command", "info"),
            ("ERR ACL failure in script: User lane has no permissions to run the 'hset' command script: x", "hset"),
        ] {
            let what = denied(text, "redis://h", "lane").unwrap();
            let cure = format!("ACL SETUSER lane +{command})");
            assert!(what.contains(&format!("user `lane` run `{command}`")) && what.contains(&cure), "{what}");
        }
        let unnamed = "ERR The user executing the script can't run this command or subcommand script: laneway_append";
        assert!(denied(unnamed, "redis://h", "lane").unwrap().contains("laneway_append"));
        for text in [
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM No permissions to access a key",
            "ERR ACL failure in script: User lane has no permissions to access the 'k' key script: x",
        ] {
            let what = denied(text, "redis://h", "lane").unwrap();
            assert!(what.contains("~{laneway:*}:*"), "{what}");
        }
        assert_eq!(denied("ERR wrong number of arguments", "redis://h", "lane"), None);
    }
}
