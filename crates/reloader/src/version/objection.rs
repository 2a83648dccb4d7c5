//! What the loader has against an image, with what can be done about it.

/// An objection of the loader's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Objection {
    /// The loader's own words, and the cure where there is one.
    pub(super) words: String,
    /// It is not to the image but to where it lies.
    pub(super) no_place: bool,
}

impl Objection {
    /// The objection that is put into these words.
    pub(super) fn of(words: String) -> Self {
        let is_one_of = |known: &[&str]| known.iter().any(|known| words.contains(known));
        let no_place = is_one_of(&NOT_TO_BE_MAPPED);
        let cure = match () {
            () if no_place => NOEXEC,
            () if is_one_of(&NO_STATIC_TLS) => STATIC_TLS,
            () => return Self { words, no_place },
        };
        Self { words: format!("{words} ({cure})"), no_place }
    }
}

/// Of glibc's `_dl_map_segments` and musl's `load_library`.
const NOT_TO_BE_MAPPED: [&str; 2] = ["failed to map segment", "Operation not permitted"];
const NOEXEC: &str =
    "the directory of the private copies may be mounted noexec: choose another with temp_dir";

/// Of glibc's `_dl_allocate_static_tls` and musl's `do_relocs`.
const NO_STATIC_TLS: [&str; 2] = ["static TLS", "initial-exec TLS"];
/// glibc gives back the room of a library that is closed only where nothing has been opened after
/// it that has such variables too (`_dl_close_worker`).
const STATIC_TLS: &str = "its thread-local variables are of the initial-exec model, for which a \
    program has room for some reloads only, and the loader does not give back what old versions had: \
    compile without -ftls-model=initial-exec and tls_model(\"initial-exec\"), or start the host with \
    GLIBC_TUNABLES=glibc.rtld.optional_static_tls=1048576";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_comes_with_its_cure_and_the_rest_as_it_is() {
        let glibc = "libguest.so: failed to map segment from shared object";
        let objection = Objection::of(glibc.to_owned());
        assert!(objection.no_place && objection.words.starts_with(glibc), "{objection:?}");
        assert!(objection.words.contains("noexec"), "{objection:?}");
        let glibc = "libguest.so: cannot allocate memory in static TLS block";
        let objection = Objection::of(glibc.to_owned());
        assert!(!objection.no_place && objection.words.contains("optional_static_tls"));
        let missing = "libmissing.so: cannot open shared object file".to_owned();
        assert_eq!(Objection::of(missing.clone()), Objection { words: missing, no_place: false });
    }
}
