// SPDX-License-Identifier: Apache-2.0
// A plugin in Rust, without crates: `count` is read, and each call counts on. It shows that the ABI is
// structs and functions, which any language with a C ABI can fill in.
//
//     rustc --crate-type cdylib -C panic=abort -o librusty.so rusty.rs

use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};

// --- api/include/backplane: base.h, value.h, message.h, operation.h, endpoint.h, plugin.h -----------

type Status = i32;
const OK: Status = 0;
const NOT_FOUND: Status = -5;
const UNIMPLEMENTED: Status = -12;
const READ: u16 = 1;
const CALL: u16 = 3;
const INT: u8 = 2;
const TIME_NONE: i64 = i64::MIN;
const MULTI_INSTANCE: u64 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
struct Str {
    ptr: *const u8,
    len: u64,
}

impl Str {
    const fn new(text: &'static str) -> Str {
        Str { ptr: text.as_ptr(), len: text.len() as u64 }
    }
    unsafe fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(self.ptr, self.len as usize)
        }
    }
}

#[repr(C)]
pub struct Error {
    reserved0: u32,
    code: i32,
    native: i32,
    flags: u32,
    domain: [u8; 16],
    message_len: u32,
    reserved1: u32,
    message: [u8; 216],
}

#[repr(C)]
#[derive(Clone, Copy)]
union As {
    u: u64,
    i: i64,
    f: f64,
    s: *const u8,
    map: *const Pair,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Value {
    tag: u8,
    flags: u8,
    aux: u16,
    len: u32,
    body: As,
}

#[repr(C)]
struct Pair {
    key: Value,
    val: Value,
}

#[repr(C)]
struct Message {
    body: Value,
    headers: *const Pair,
    n_headers: u32,
    flags: u32,
    owner: *mut c_void,
    time_ns: i64,
    seq: u64,
    reserved: u64,
}

#[repr(C)]
struct Op {
    struct_size: u32,
    verb: u16,
    flags: u16,
    status: Status,
    credit: u32,
    deadline_ns: i64,
    target: u64,
    this: *mut c_void,
    input: *const Message,
    out: Message,
    scratch: *mut c_void,
    scratch_len: u64,
    error: *mut Error,
    sink: *const c_void,
    done: Option<unsafe extern "C" fn(*mut Op)>,
    user: *mut c_void,
    imp: [u64; 4],
}

#[repr(C)]
struct EndpointOps {
    struct_size: u32,
    reserved: u32,
    submit: unsafe extern "C" fn(*mut Op) -> Status,
    submit_n: Option<unsafe extern "C" fn(*const *mut Op, u32) -> u32>,
    cancel: unsafe extern "C" fn(*mut Op),
    credit: Option<unsafe extern "C" fn(*mut Op, u32)>,
    ack: Option<unsafe extern "C" fn(*mut Op, u64, Status)>,
    close: unsafe extern "C" fn(*mut c_void),
}

#[repr(C)]
struct Endpoint {
    ops: *const EndpointOps,
    this: *mut c_void,
    verbs: u32,
    flags: u32,
}

#[repr(C)]
pub struct Offer {
    struct_size: u32,
    minor_min: u16,
    minor_max: u16,
    flags: u32,
    reserved: u32,
    kernel_version: Str,
}

type Step = unsafe extern "C" fn(*mut c_void, *mut Op) -> Status;

#[repr(C)]
pub struct Plugin {
    struct_size: u32,
    minor_built: u16,
    minor_needed: u16,
    id: Str,
    version: Str,
    flags: u64,
    needs: *const *const u8,
    create:
        unsafe extern "C" fn(*const c_void, *const Value, *mut *mut c_void, *mut Error) -> Status,
    start: Step,
    drain: Step,
    stop: Step,
    destroy: unsafe extern "C" fn(*mut c_void),
    open: unsafe extern "C" fn(*mut c_void, Str, *const Message, *mut Op, *mut Endpoint) -> Status,
    cancel: Option<unsafe extern "C" fn(*mut c_void, *mut Op)>,
}

// The tables are constant, and what they point to lives as long as the process.
unsafe impl Sync for EndpointOps {}
unsafe impl Sync for Plugin {}

unsafe fn fail(error: *mut Error, code: Status, text: &str) -> Status {
    if let Some(error) = error.as_mut() {
        let n = text.len().min(error.message.len());
        error.code = code;
        error.message_len = n as u32;
        error.message[..n].copy_from_slice(&text.as_bytes()[..n]);
    }
    code
}

// --- the endpoint ------------------------------------------------------------------------------------

unsafe extern "C" fn submit(op: *mut Op) -> Status {
    let op = &mut *op;
    let count = &*(op.this as *const AtomicI64);
    let value = match op.verb {
        READ => count.load(Ordering::SeqCst),
        CALL => count.fetch_add(1, Ordering::SeqCst) + 1,
        _ => return fail(op.error, UNIMPLEMENTED, "'count' is read and called"),
    };
    op.out.body = Value { tag: INT, flags: 0, aux: 64, len: 0, body: As { i: value } };
    op.out.time_ns = TIME_NONE;
    OK
}

// Nothing pends here, and the instance owns the count.
unsafe extern "C" fn cancel(_: *mut Op) {}
unsafe extern "C" fn close(_: *mut c_void) {}

static COUNT: EndpointOps = EndpointOps {
    struct_size: std::mem::size_of::<EndpointOps>() as u32,
    reserved: 0,
    submit,
    submit_n: None,
    cancel,
    credit: None,
    ack: None,
    close,
};

// --- the instance ------------------------------------------------------------------------------------

unsafe extern "C" fn create(
    _: *const c_void,
    config: *const Value,
    instance: *mut *mut c_void,
    _: *mut Error,
) -> Status {
    let mut start = 0;
    for i in 0..(*config).len as usize {
        let pair = &*(*config).body.map.add(i);
        let key = Str { ptr: pair.key.body.s, len: pair.key.len as u64 };
        if key.bytes() == b"start" {
            start = pair.val.body.i;
        }
    }
    *instance = Box::into_raw(Box::new(AtomicI64::new(start))) as *mut c_void;
    OK
}

unsafe extern "C" fn nothing(_: *mut c_void, _: *mut Op) -> Status {
    OK
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    drop(Box::from_raw(instance as *mut AtomicI64));
}

unsafe extern "C" fn open(
    instance: *mut c_void,
    path: Str,
    _: *const Message,
    op: *mut Op,
    out: *mut Endpoint,
) -> Status {
    if path.bytes() != b"count" {
        return fail((*op).error, NOT_FOUND, "there is 'count' here, and nothing else");
    }
    *out = Endpoint { ops: &COUNT, this: instance, verbs: 1 << READ | 1 << CALL, flags: 0 };
    OK
}

struct Needs([*const u8; 1]);
unsafe impl Sync for Needs {}
static NEEDS: Needs = Needs([std::ptr::null()]);

static PLUGIN: Plugin = Plugin {
    struct_size: std::mem::size_of::<Plugin>() as u32,
    minor_built: 0,
    minor_needed: 0,
    id: Str::new("rusty"),
    version: Str::new("0.1.0"),
    flags: MULTI_INSTANCE,
    needs: NEEDS.0.as_ptr(),
    create,
    start: nothing,
    drain: nothing,
    stop: nothing,
    destroy,
    open,
    cancel: None,
};

/// # Safety
/// The kernel calls it as plugin.h says.
#[no_mangle]
pub unsafe extern "C" fn bp_plugin_entry_1(
    _: *const Offer,
    out: *mut *const Plugin,
    _: *mut Error,
) -> Status {
    *out = &PLUGIN;
    OK
}
