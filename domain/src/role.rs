//! What a token may do.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One kind of access. No role contains another: a token has exactly those that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Hands events in.
    Publish,
    /// Sees status, metrics, and dead letters with their payloads.
    Read,
    /// Resumes, replays, retries, skips and discards.
    Operate,
    /// Changes which destinations and tokens there are.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Read, Self::Operate, Self::Admin];

    /// Its name in configurations and errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles; written down as the list of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
pub struct Roles(u8);

impl Roles {
    /// Every role.
    pub const ALL: Self = Self(Role::Publish.bit() | Role::Read.bit() | Role::Operate.bit() | Role::Admin.bit());

    /// These roles.
    #[must_use]
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }

    /// Whether `role` is one of them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Those that are among `others` too.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// The first of them that is not among `others`.
    #[must_use]
    pub fn beyond(self, others: Self) -> Option<Role> {
        self.iter().find(|role| !others.has(*role))
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// A bit for each of them: what can be chosen without a branch.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those of [`Roles::bits`]; other bits mean nothing.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Each of them, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        Self::of(roles)
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Role::name).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for bits in 0..16_u8 {
            let chosen = |role: &Role| bits & (1 << *role as u8) != 0;
            let roles = Roles::of(Role::ALL.into_iter().filter(chosen));
            assert!(Role::ALL.iter().all(|role| roles.has(*role) == chosen(role)), "{roles}");
            assert_eq!((roles.count(), Roles::from_bits(roles.bits())), (bits.count_ones(), roles));
        }
        assert_eq!(Roles::ALL, Roles::of(Role::ALL));
        let written = serde_json::to_string(&Roles::of([Role::Admin, Role::Read])).unwrap();
        assert_eq!(written, r#"["read","admin"]"#);
        assert_eq!(serde_json::from_str::<Roles>(&written).unwrap(), Roles::of([Role::Read, Role::Admin]));
        assert!(serde_json::from_str::<Roles>(r#"["root"]"#).is_err());
        assert_eq!(Roles::ALL.to_string(), "publish, read, operate, admin");
    }

    #[test]
    fn of_two_sets_it_is_known_what_both_have_and_what_one_has_beyond_the_other() {
        let (some, others) = (Roles::of([Role::Publish, Role::Read]), Roles::of([Role::Read, Role::Operate]));
        assert_eq!([some.and(others), others.and(some)], [Roles::of([Role::Read]); 2]);
        assert_eq!(some.and(Roles::default()), Roles::default());
        assert_eq!((some.beyond(others), others.beyond(some)), (Some(Role::Publish), Some(Role::Operate)));
        assert_eq!((some.beyond(some), some.beyond(Roles::ALL)), (None, None));
    }

    #[test]
    fn a_role_is_written_as_it_is_named_and_is_had_once_however_often_it_is_given() {
        assert_eq!(Role::ALL.map(|role| role.to_string()), ["publish", "read", "operate", "admin"]);
        assert_eq!(Roles::of([Role::Read, Role::Read]), Roles::of([Role::Read]));
    }
}
