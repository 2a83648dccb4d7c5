//! Versions, and the platform that an image was built for.

use std::fmt;

/// A version in nibbles, `xxxx.yy.zz`: 0x000b0102 is 11.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    /// The first number.
    pub fn major(self) -> u32 {
        self.0 >> 16
    }

    /// The second number.
    pub fn minor(self) -> u32 {
        (self.0 >> 8) & 0xff
    }

    /// The third number.
    pub fn patch(self) -> u32 {
        self.0 & 0xff
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())?;
        if self.patch() != 0 { write!(f, ".{}", self.patch()) } else { Ok(()) }
    }
}

/// What an image was built for and with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildVersion {
    /// The system.
    pub platform: Platform,
    /// The oldest version of it that will do.
    pub minimum: Version,
    /// The version of the development kit.
    pub sdk: Version,
    /// Each tool's number and version: 3 is Apple's linker, 4 is lld.
    pub tools: Vec<(u32, Version)>,
}

/// A system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Platform(pub u32);

impl Platform {
    /// macOS.
    pub const MACOS: Platform = Platform(1);
    /// iOS.
    pub const IOS: Platform = Platform(2);
    /// tvOS.
    pub const TVOS: Platform = Platform(3);
    /// watchOS.
    pub const WATCHOS: Platform = Platform(4);
    /// Mac Catalyst.
    pub const MAC_CATALYST: Platform = Platform(6);
    /// The simulator of iOS.
    pub const IOS_SIMULATOR: Platform = Platform(7);
    /// DriverKit.
    pub const DRIVERKIT: Platform = Platform(10);
    /// visionOS.
    pub const VISIONOS: Platform = Platform(11);
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Platform::MACOS => "macOS",
            Platform::IOS => "iOS",
            Platform::TVOS => "tvOS",
            Platform::WATCHOS => "watchOS",
            Platform::MAC_CATALYST => "Mac Catalyst",
            Platform::IOS_SIMULATOR => "iOS simulator",
            Platform::DRIVERKIT => "DriverKit",
            Platform::VISIONOS => "visionOS",
            Platform(other) => return write!(f, "platform {other}"),
        })
    }
}
