//! One resource: how much of what, for whom.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use prost::Message as _;

use super::{Invalid, Name, Ranges, Role, Set, convert, roles, scalar, validate};
use crate::proto::resource::disk_info::source::Type as SourceType;
use crate::proto::resource::{
    AllocationInfo, DiskInfo, ReservationInfo, RevocableInfo, SharedInfo, reservation_info,
};
use crate::proto::value::Type;
use crate::proto::{self, ResourceProviderId};

/// A resource in a bag. `copies` counts the uses of a shared one; it is 1 for all others.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) name: Name,
    pub(super) allocation: Option<Role>,
    pub(super) details: Option<Arc<Details>>,
    pub(super) value: Value,
    pub(super) copies: u32,
}

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Thousandths.
    Scalar(i64),
    Ranges(Ranges),
    Set(Set),
}

/// All of a resource that is neither its name, its amount nor its allocation. Most resources have none.
#[derive(Clone, Debug)]
pub struct Details {
    /// Bottom first: each refines the one before.
    pub reservations: Vec<ReservationInfo>,
    pub disk: Option<Box<DiskInfo>>,
    pub revocable: Option<RevocableInfo>,
    pub shared: Option<SharedInfo>,
    pub provider: Option<ResourceProviderId>,
    /// What tells these details from others, as wire bytes.
    identity: Box<[u8]>,
}

impl Details {
    fn new(mut resource: proto::Resource) -> Option<Arc<Details>> {
        let plain = resource.reservations.is_empty()
            && resource.disk.is_none()
            && resource.revocable.is_none()
            && resource.shared.is_none()
            && resource.provider_id.is_none();
        if plain {
            return None;
        }
        let identity = proto::Resource {
            reservations: resource.reservations.clone(),
            disk: resource.disk.clone().map(|mut disk| {
                // How a task mounts it, and who made it, do not make it another disk.
                disk.volume = None;
                if let Some(persistence) = &mut disk.persistence {
                    persistence.principal = None;
                }
                disk
            }),
            revocable: resource.revocable.as_ref().map(|_| RevocableInfo::default()),
            shared: resource.shared,
            provider_id: resource.provider_id.clone(),
            ..proto::Resource::default()
        };
        Some(Arc::new(Details {
            reservations: std::mem::take(&mut resource.reservations),
            disk: resource.disk,
            revocable: resource.revocable,
            shared: resource.shared,
            provider: resource.provider_id,
            identity: identity.encode_to_vec().into(),
        }))
    }
}

impl PartialEq for Details {
    fn eq(&self, other: &Details) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Details {}

impl PartialOrd for Details {
    fn partial_cmp(&self, other: &Details) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Details {
    fn cmp(&self, other: &Details) -> Ordering {
        self.identity.cmp(&other.identity)
    }
}

impl Value {
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Scalar(amount) => *amount <= 0,
            Value::Ranges(ranges) => ranges.is_empty(),
            Value::Set(set) => set.is_empty(),
        }
    }

    /// Adds an amount of the same type; of another one, nothing.
    pub(super) fn add(&mut self, other: &Value) {
        match (self, other) {
            (Value::Scalar(own), Value::Scalar(other)) => *own = own.saturating_add(*other),
            (Value::Ranges(own), Value::Ranges(other)) => own.add(other),
            (Value::Set(own), Value::Set(other)) => own.add(other),
            _ => {}
        }
    }

    pub(super) fn subtract(&mut self, other: &Value) {
        match (self, other) {
            (Value::Scalar(own), Value::Scalar(other)) => *own = own.saturating_sub(*other),
            (Value::Ranges(own), Value::Ranges(other)) => own.subtract(other),
            (Value::Set(own), Value::Set(other)) => own.subtract(other),
            _ => {}
        }
    }

    pub fn contains(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Scalar(own), Value::Scalar(other)) => own >= other,
            (Value::Ranges(own), Value::Ranges(other)) => own.contains(other),
            (Value::Set(own), Value::Set(other)) => own.contains(other),
            _ => false,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Value::Scalar(_) => 0,
            Value::Ranges(_) => 1,
            Value::Set(_) => 2,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar(amount) => f.write_str(&scalar::text(*amount)),
            Value::Ranges(ranges) => ranges.fmt(f),
            Value::Set(set) => set.fmt(f),
        }
    }
}

impl Entry {
    /// A resource off the wire or a flag, in any format. It may be empty.
    pub fn from_proto(resource: &proto::Resource) -> Result<Entry, Invalid> {
        let value = validate::resource(resource)?;
        let name = Name::from(resource.name.as_str());
        let allocation =
            resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()).map(Role::from);
        let plain = resource.role.as_deref().is_none_or(|role| role == roles::STAR)
            && resource.reservations.is_empty()
            && resource.disk.is_none()
            && resource.revocable.is_none()
            && resource.shared.is_none()
            && resource.provider_id.is_none();
        let details = if plain {
            None
        } else {
            let mut rest = proto::Resource { ranges: None, set: None, ..resource.clone() };
            convert::upgrade_resource(&mut rest);
            Details::new(rest)
        };
        Ok(Entry { name, allocation, details, value, copies: 1 })
    }

    /// The message, with reservations as a stack.
    pub fn to_proto(&self) -> proto::Resource {
        let mut resource = proto::Resource {
            name: self.name.to_string(),
            allocation_info: self
                .allocation
                .as_ref()
                .map(|role| AllocationInfo { role: Some(role.to_string()) }),
            ..proto::Resource::default()
        };
        match &self.value {
            Value::Scalar(amount) => {
                resource.set_type(Type::Scalar);
                resource.scalar = Some(proto::value::Scalar { value: scalar::to_f64(*amount) });
            }
            Value::Ranges(ranges) => {
                resource.set_type(Type::Ranges);
                resource.ranges = Some(ranges.to_proto());
            }
            Value::Set(set) => {
                resource.set_type(Type::Set);
                resource.set = Some(set.to_proto());
            }
        }
        if let Some(details) = &self.details {
            resource.reservations.clone_from(&details.reservations);
            resource.disk.clone_from(&details.disk);
            resource.revocable.clone_from(&details.revocable);
            resource.shared = details.shared;
            resource.provider_id.clone_from(&details.provider);
        }
        resource
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Thousandths, if it is a scalar.
    pub fn scalar(&self) -> Option<i64> {
        match self.value {
            Value::Scalar(amount) => Some(amount),
            _ => None,
        }
    }

    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// The role that holds it, of an offer or a task.
    pub fn allocation(&self) -> Option<&Role> {
        self.allocation.as_ref()
    }

    /// The role it is reserved for; `None` if anybody may have it.
    pub fn reservation_role(&self) -> Option<&str> {
        self.details.as_ref()?.reservations.last().map(|reservation| reservation.role())
    }

    pub fn is_reserved(&self) -> bool {
        self.reservation_role().is_some()
    }

    pub fn is_dynamically_reserved(&self) -> bool {
        let last = self.details.as_ref().and_then(|details| details.reservations.last());
        last.is_some_and(|reservation| reservation.r#type() == reservation_info::Type::Dynamic)
    }

    /// May `role` be offered it? Reserved for it or for a role above it, or for nobody.
    pub fn is_allocatable_to(&self, role: &str) -> bool {
        self.reservation_role().is_none_or(|own| own == role || roles::is_strict_subrole(role, own))
    }

    pub fn is_revocable(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.revocable.is_some())
    }

    pub fn is_shared(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.shared.is_some())
    }

    pub fn disk(&self) -> Option<&DiskInfo> {
        self.details.as_ref()?.disk.as_deref()
    }

    pub fn is_persistent_volume(&self) -> bool {
        self.disk().is_some_and(|disk| disk.persistence.is_some())
    }

    /// Taken whole or not at all: a volume, a mount, a block device, a raw disk with an identity.
    pub fn is_atomic(&self) -> bool {
        self.is_shared()
            || self.disk().is_some_and(|disk| {
                let source = disk.source.as_ref();
                disk.persistence.is_some()
                    || source.is_some_and(|source| match source.r#type() {
                        SourceType::Mount | SourceType::Block => true,
                        SourceType::Raw => source.id.is_some(),
                        _ => false,
                    })
            })
    }

    /// The order of a bag. Equal entries are of one kind, and if divisible are held as one.
    pub(super) fn compare_kind(&self, other: &Entry) -> Ordering {
        let details = || match (&self.details, &other.details) {
            (Some(own), Some(other)) if Arc::ptr_eq(own, other) => Ordering::Equal,
            (own, other) => own.cmp(other),
        };
        self.name
            .cmp(&other.name)
            .then_with(|| self.value.kind().cmp(&other.value.kind()))
            .then_with(details)
            .then_with(|| self.allocation.cmp(&other.allocation))
            .then_with(|| if self.is_atomic() { self.value.cmp(&other.value) } else { Ordering::Equal })
    }

    /// The same resource with other reservations.
    pub(super) fn with_reservations(&self, reservations: Vec<ReservationInfo>) -> Entry {
        let resource = proto::Resource { reservations, ..self.to_proto() };
        Entry { details: Details::new(resource), ..self.clone() }
    }
}

/// As Mesos's logs have it: `disk(allocated: web)(reservations: [(STATIC,web)])[id1]:64`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(role) = &self.allocation {
            write!(f, "(allocated: {role})")?;
        }
        if let Some(details) = &self.details {
            details.fmt(f)?;
        }
        write!(f, ":{}", self.value)?;
        if self.copies > 1 {
            write!(f, " x{}", self.copies)?;
        }
        Ok(())
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reservations.is_empty() {
            f.write_str("(reservations: [")?;
            for (index, reservation) in self.reservations.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let kind = reservation.r#type().as_str_name();
                write!(f, "{comma}({kind},{}", reservation.role())?;
                if let Some(principal) = &reservation.principal {
                    write!(f, ",{principal}")?;
                }
                f.write_str(")")?;
            }
            f.write_str("])")?;
        }
        if let Some(disk) = &self.disk {
            let source = disk.source.as_ref().map(|source| source.r#type().as_str_name());
            let id = disk.persistence.as_ref().map(|persistence| persistence.id.as_str());
            let parts: Vec<_> = source.into_iter().chain(id).collect();
            write!(f, "[{}]", parts.join(","))?;
        }
        f.write_str(if self.revocable.is_some() { "{REV}" } else { "" })?;
        f.write_str(if self.shared.is_some() { "<SHARED>" } else { "" })
    }
}
