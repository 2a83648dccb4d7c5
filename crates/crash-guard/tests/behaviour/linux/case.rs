//! One promise, and what must become of the process that tries it.

/// A test case.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub body: Body,
    pub end: End,
    /// Why the case cannot run here, if it cannot.
    pub impossible: Option<&'static str>,
    /// Why the case cannot run under qemu's user mode, if it cannot.
    pub not_emulated: Option<&'static str>,
    /// Whether guards are installed before the body runs.
    pub installs: bool,
}

/// What a case needs.
#[derive(Clone, Copy)]
pub enum Body {
    Plain(fn()),
    /// Runs once for each way of compiling the guest.
    WithGuest(fn(&super::guest::Guest)),
}

/// How the process must end.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum End {
    Success,
    Code(i32),
    Signal(i32),
    /// The signal, after having said this on standard error.
    Saying(i32, &'static str),
}

impl Case {
    pub const fn new(name: &'static str, body: Body) -> Self {
        Self { name, body, end: End::Success, impossible: None, not_emulated: None, installs: true }
    }

    pub const fn ends(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub const fn without_installing(mut self) -> Self {
        self.installs = false;
        self
    }

    pub const fn not_under_qemu(mut self, why: &'static str) -> Self {
        self.not_emulated = Some(why);
        self
    }

    pub const fn impossible_if(mut self, impossible: bool, why: &'static str) -> Self {
        if impossible {
            self.impossible = Some(why);
        }
        self
    }
}

/// A list of cases, each a function whose name is the promise.
macro_rules! cases {
    ($($kind:ident $name:ident $(.$method:ident($($argument:expr),*))*;)*) => {
        pub const CASES: &[$crate::linux::case::Case] = &[$(
            $crate::linux::case::Case::new(
                stringify!($name),
                $crate::linux::case::Body::$kind($name),
            )$(.$method($($argument),*))*,
        )*];
    };
}
pub(crate) use cases;
