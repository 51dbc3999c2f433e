//! `[tenants]`: what the destinations of tenants may be that are made over the HTTP interface.

use super::reader::Section;

/// Where they send to where nothing is said: nothing of a customer's goes over the network in the clear, and none of the
/// other kinds is for strangers.
const SCHEMES: [&str; 1] = ["https"];
/// All that can be allowed.
const KNOWN: [&str; 5] = ["https", "http", "mongodb", "mongodb+srv", "console"];
/// How many a tenant may have where nothing is said: more endpoints than a customer of a common service has, few enough
/// that one tenant alone cannot make the server's work its own.
const DESTINATIONS: usize = 100;
/// As many as one store was tried with.
const MOST_DESTINATIONS: usize = 80_000;

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantBounds {
    /// The schemes of their URLs.
    pub schemes: Vec<String>,
    /// The most destinations of one tenant.
    pub destinations: usize,
}

impl Default for TenantBounds {
    fn default() -> Self {
        Self { schemes: SCHEMES.map(str::to_owned).to_vec(), destinations: DESTINATIONS }
    }
}

impl TenantBounds {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let default = Self::default();
        let given = section.has("schemes");
        let schemes: Vec<String> = section.list("schemes");
        for unknown in schemes.iter().filter(|scheme| !KNOWN.contains(&scheme.as_str())) {
            section.problem("schemes", format!("{unknown:?} is none of {}", KNOWN.join(", ")));
        }
        let bounds = Self {
            schemes: if given { schemes } else { default.schemes },
            destinations: section.within("destinations", default.destinations, 0..=MOST_DESTINATIONS),
        };
        section.finish();
        bounds
    }

    /// Why a tenant's destination cannot have that URL, if so.
    #[must_use]
    pub fn refuses(&self, url: &str) -> Option<String> {
        let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme).to_ascii_lowercase();
        let allowed = self.schemes.contains(&scheme);
        (!allowed).then(|| {
            let where_to = match self.schemes.as_slice() {
                [] => "nowhere".to_owned(),
                schemes => format!("to {} only", schemes.join(", ")),
            };
            format!("is {scheme}, and a tenant's destination may send {where_to} (tenants.schemes)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_schemes_pass_however_they_are_written() {
        let bounds = TenantBounds::default();
        for good in ["https://a.example/", "HTTPS://a.example/"] {
            assert_eq!(bounds.refuses(good), None, "{good}");
        }
        for bad in ["http://a.example/", "console:", "mongodb://a/b/c", "", "file:///etc/passwd"] {
            assert!(bounds.refuses(bad).is_some_and(|why| why.contains("https only")), "{bad}");
        }
        let none = TenantBounds { schemes: Vec::new(), ..bounds };
        assert!(none.refuses("https://a.example/").is_some_and(|why| why.contains("may send nowhere")));
    }
}
