//! What a token may do.

use std::fmt;

/// One kind of access. No role contains another: a token has exactly those that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hands events in.
    Publish,
    /// Sees status, metrics, and dead letters with their payloads.
    Read,
    /// Resumes, replays, retries, skips and discards.
    Operate,
    /// Changes which destinations there are.
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

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name).collect();
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
        assert_eq!(Roles::ALL.to_string(), "publish, read, operate, admin");
    }
}
