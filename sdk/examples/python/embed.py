#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Embeds the kernel in asyncio, with ctypes alone. Completions and messages come through bp.queue/1,
whose descriptor the event loop watches: no thread of the kernel ever enters Python.

    embed.py room.toml room:/temperature
"""
import asyncio
import ctypes as c
import sys

# --- api/include/backplane: base.h, value.h, message.h, operation.h, host.h, service/ ----------------

OK, PENDING, INVALID_ARGUMENT = 0, 1, -3
READ, WRITE, WATCH = 1, 2, 4
NULL, BOOL, INT, UINT, FLOAT, STRING, BYTES, ENCODED, REF = 0, 1, 2, 3, 4, 6, 7, 13, 14
COMPLETED, MESSAGES = 1, 2
TIME_NONE = -(2**63)


class Str(c.Structure):
    _fields_ = [("ptr", c.c_char_p), ("len", c.c_uint64)]

    @classmethod
    def of(cls, text):
        data = text.encode()
        return cls(data, len(data))


class Error(c.Structure):
    _fields_ = [("reserved0", c.c_uint32), ("code", c.c_int32), ("native", c.c_int32),
                ("flags", c.c_uint32), ("domain", c.c_char * 16), ("message_len", c.c_uint32),
                ("reserved1", c.c_uint32), ("message", c.c_char * 216)]


class As(c.Union):
    _fields_ = [("u", c.c_uint64), ("i", c.c_int64), ("f", c.c_double), ("p", c.c_void_p)]


class Value(c.Structure):
    _fields_ = [("tag", c.c_uint8), ("flags", c.c_uint8), ("aux", c.c_uint16), ("len", c.c_uint32),
                ("as_", As)]


class Message(c.Structure):
    _fields_ = [("body", Value), ("headers", c.c_void_p), ("n_headers", c.c_uint32),
                ("flags", c.c_uint32), ("owner", c.POINTER(c.c_void_p)), ("time_ns", c.c_int64),
                ("seq", c.c_uint64), ("reserved", c.c_uint64)]


class Op(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("verb", c.c_uint16), ("flags", c.c_uint16),
                ("status", c.c_int32), ("credit", c.c_uint32), ("deadline_ns", c.c_int64),
                ("target", c.c_uint64), ("self", c.c_void_p), ("in_", c.POINTER(Message)),
                ("out", Message), ("scratch", c.c_void_p), ("scratch_len", c.c_uint64),
                ("error", c.POINTER(Error)), ("sink", c.c_void_p), ("done", c.c_void_p),
                ("user", c.c_void_p), ("impl", c.c_uint64 * 4)]


class Event(c.Structure):
    _fields_ = [("op", c.POINTER(Op)), ("messages", c.POINTER(Message)), ("n", c.c_uint32),
                ("kind", c.c_uint32)]


OpPtr, HostPtr, QueuePtr, RefType = c.POINTER(Op), c.c_void_p, c.c_void_p, c.c_uint64
Status = c.c_int32


def slot(name, result, *arguments):
    return (name, c.CFUNCTYPE(result, *arguments))


class Host(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("abi_minor", c.c_uint32),
                ("log_level", c.POINTER(c.c_uint32)), ("instance", Str),
                slot("get_service", c.c_void_p, HostPtr, c.c_char_p), ("system", Str)]


class EndpointService(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32),
                slot("op_new", OpPtr, HostPtr), slot("op_free", None, HostPtr, OpPtr),
                ("open", c.c_void_p), ("adopt", c.c_void_p), ("retain", c.c_void_p),
                slot("close", None, HostPtr, RefType), ("submit", c.c_void_p),
                ("submit_n", c.c_void_p), slot("cancel", None, HostPtr, OpPtr),
                slot("credit", None, HostPtr, OpPtr, c.c_uint32)]


class QueueService(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32),
                slot("open", Status, HostPtr, c.POINTER(QueuePtr), c.POINTER(c.c_int32)),
                slot("submit", Status, HostPtr, QueuePtr, OpPtr),
                slot("open_address", Status, HostPtr, QueuePtr, Str, c.c_void_p, OpPtr),
                slot("poll", c.c_uint32, HostPtr, QueuePtr, c.POINTER(Event), c.c_uint32, c.c_int64),
                slot("release", None, HostPtr, QueuePtr, c.POINTER(Event), c.c_uint32),
                slot("close", Status, HostPtr, QueuePtr)]


# --- values -------------------------------------------------------------------------------------------


def to_value(python):
    """A Value, and what keeps its bytes alive."""
    if python is None:
        return Value(NULL), None
    if isinstance(python, bool):
        return Value(BOOL, as_=As(u=python)), None
    if isinstance(python, int):
        return Value(INT, 0, 64, as_=As(i=python)), None
    if isinstance(python, float):
        return Value(FLOAT, 0, 64, as_=As(f=python)), None
    data = python.encode() if isinstance(python, str) else bytes(python)
    buffer = c.create_string_buffer(data, len(data))
    tag = STRING if isinstance(python, str) else BYTES
    return Value(tag, 0, 0, len(data), As(p=c.cast(buffer, c.c_void_p))), buffer


class Unread:
    """A value that this example does not read: a list, a map, a time."""

    def __init__(self, tag):
        self.tag = tag

    def __repr__(self):
        return f"<a value of tag {self.tag}>"


END = object()  # of a watch


def to_python(value):
    if value.tag in (STRING, BYTES, ENCODED):
        data = c.string_at(value.as_.p, value.len)
        return data.decode() if value.tag == STRING else data
    if value.tag not in (NULL, BOOL, INT, UINT, FLOAT):
        return Unread(value.tag)
    scalars = {NULL: lambda: None, BOOL: lambda: value.as_.u != 0, INT: lambda: value.as_.i,
               UINT: lambda: value.as_.u, FLOAT: lambda: value.as_.f}
    return scalars[value.tag]()


class Failure(Exception):
    def __init__(self, status, error):
        super().__init__(error.message[:error.message_len].decode() or f"status {status}")
        self.status = status


# --- the kernel ---------------------------------------------------------------------------------------


class Kernel:
    """Use inside of a running asyncio loop: `async with Kernel("room.toml") as kernel`."""

    def __init__(self, manifest, library="libbackplane.so.1"):
        self._lib = c.CDLL(library)
        self._lib.bp_kernel_host.restype = c.POINTER(Host)
        self._lib.bp_kernel_host.argtypes = [c.c_void_p]
        self._lib.bp_kernel_create.argtypes = [c.c_void_p, c.POINTER(c.c_void_p), c.POINTER(Error)]
        self._lib.bp_kernel_load.argtypes = [c.c_void_p, Str, c.c_void_p, c.c_void_p, c.POINTER(Error)]
        for name in ("bp_kernel_start", "bp_kernel_stop"):
            getattr(self._lib, name).argtypes = [c.c_void_p, c.POINTER(Error)]
        self._lib.bp_kernel_destroy.argtypes = [c.c_void_p]
        self._manifest = manifest
        self._running = {}  # address of an operation: what is told of its events

    async def __aenter__(self):
        error, kernel = Error(), c.c_void_p()
        self._require(self._lib.bp_kernel_create(None, c.byref(kernel), c.byref(error)), error)
        self._kernel = kernel
        try:
            text = Str.of(self._manifest)
            self._require(self._lib.bp_kernel_load(kernel, text, None, None, c.byref(error)), error)
            self._require(self._lib.bp_kernel_start(kernel, c.byref(error)), error)
        except Failure:
            self._lib.bp_kernel_destroy(kernel)
            raise
        host = self._lib.bp_kernel_host(kernel)
        self._host = c.cast(host, c.c_void_p)
        service = host.contents.get_service
        self.endpoints = EndpointService.from_address(service(self._host, b"bp.endpoint/1"))
        self.queues = QueueService.from_address(service(self._host, b"bp.queue/1"))
        self._queue, self._descriptor = QueuePtr(), c.c_int32()
        self._require(
            self.queues.open(self._host, c.byref(self._queue), c.byref(self._descriptor)), error)
        asyncio.get_running_loop().add_reader(self._descriptor.value, self._take_events)
        return self

    async def __aexit__(self, *_):
        asyncio.get_running_loop().remove_reader(self._descriptor.value)
        self._require(self.queues.close(self._host, self._queue), Error())
        self._lib.bp_kernel_stop(self._kernel, c.byref(Error()))
        self._lib.bp_kernel_destroy(self._kernel)

    async def open(self, address):
        with Operation(self) as op:
            text = Str.of(address)
            await op.outcome(self.queues.open_address(self._host, self._queue, text, None, op.raw))
            return Endpoint(self, op.raw.contents.out.body.as_.u)

    def submit(self, op):
        return self.queues.submit(self._host, self._queue, op)

    @staticmethod
    def _require(status, error):
        if status < 0:
            raise Failure(status, error)

    def _take_events(self):
        events = (Event * 16)()
        n = self.queues.poll(self._host, self._queue, events, len(events), 0)
        for event in events[:n]:
            op = self._running.get(c.addressof(event.op.contents))
            if event.kind == MESSAGES and op is not None:
                for message in event.messages[:event.n]:
                    op.messages.put_nowait(to_python(message.body))
                self.endpoints.credit(self._host, event.op, event.n)
            elif event.kind == COMPLETED and op is not None:
                op.completed.set_result(event.op.contents.status)
                op.messages.put_nowait(END)
        self.queues.release(self._host, self._queue, events, n)


class Operation:
    """One operation: freed when it has completed, never before."""

    def __init__(self, kernel, verb=0, target=0, body=None):
        self._kernel = kernel
        self.raw = kernel.endpoints.op_new(kernel._host)
        self.completed = asyncio.get_running_loop().create_future()
        self.messages = asyncio.Queue()
        self._error = Error()
        value, self._keep = to_value(body)
        self._in = Message(body=value, time_ns=TIME_NONE)
        op = self.raw.contents
        op.verb, op.target, op.credit = verb, target, 16
        op.error, op.in_ = c.pointer(self._error), c.pointer(self._in)

    def __enter__(self):
        self._kernel._running[c.addressof(self.raw.contents)] = self
        return self

    def __exit__(self, *_):
        del self._kernel._running[c.addressof(self.raw.contents)]
        self._kernel.endpoints.op_free(self._kernel._host, self.raw)

    async def outcome(self, status):
        """Waits if it is pending; raises Failure."""
        if status == PENDING:
            try:
                status = await asyncio.shield(self.completed)
            except asyncio.CancelledError:
                self.cancel()
                await self.completed
                raise
        if status < 0:
            raise Failure(status, self._error)

    def cancel(self):
        self._kernel.endpoints.cancel(self._kernel._host, self.raw)


class Endpoint:
    def __init__(self, kernel, ref):
        self._kernel, self._ref = kernel, ref

    def close(self):
        self._kernel.endpoints.close(self._kernel._host, self._ref)

    async def read(self):
        with Operation(self._kernel, READ, self._ref) as op:
            await op.outcome(self._kernel.submit(op.raw))
            out = op.raw.contents.out
            value = to_python(out.body)
            if out.owner:  # a large result comes in a buffer, which is the caller's to release
                release_buffer(out.owner)
            return value

    async def write(self, value):
        with Operation(self._kernel, WRITE, self._ref, value) as op:
            await op.outcome(self._kernel.submit(op.raw))

    async def watch(self):
        with Operation(self._kernel, WATCH, self._ref) as op:
            status = self._kernel.submit(op.raw)
            if status != PENDING:
                await op.outcome(status)
                return
            try:
                while (message := await op.messages.get()) is not END:
                    yield message
                await op.outcome(op.completed.result())
            finally:
                op.cancel()
                await op.completed


class BufferOps(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("kind", c.c_uint32),
                slot("retain", None, c.c_void_p), slot("release", None, c.c_void_p)]


def release_buffer(owner):
    c.cast(owner.contents, c.POINTER(BufferOps)).contents.release(c.cast(owner, c.c_void_p))


async def main(manifest, address):
    async with Kernel(manifest) as kernel:
        endpoint = await kernel.open(address)
        print("now", await endpoint.read())

        changes = endpoint.watch()
        print("is", await anext(changes))
        await endpoint.write(21.5)
        print("is", await anext(changes))
        await changes.aclose()
        endpoint.close()

        try:
            await kernel.open("rom:/temperature")
        except Failure as failure:
            print(failure)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
