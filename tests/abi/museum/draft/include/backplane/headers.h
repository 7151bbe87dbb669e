/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of headers that the ABI knows: keys of tag UINT. They never change their meaning; new
 * ones get new numbers. The comment names the value's type, and who uses it first. */
#pragma once

/* string: the concrete path of an inbound operation, a wildcard message, a browse entry */
#define BP_H_PATH 1u
#define BP_H_MATCH 2u        /* uint, serve: BP_MATCH_* */
#define BP_H_KIND 3u         /* uint, serve: BP_KIND_* */
#define BP_H_CONTENT_TYPE 4u /* string: a media type (RFC 6838), such as application/json */
/* uint: the native status of the value: OPC UA quality, CoAP code as 205 */
#define BP_H_STATUS 5u
/* time: when the server, not the source, saw the value (OPC UA) */
#define BP_H_SERVER_TIME 6u
/* int: how long the message is worth delivering (MQTT expiry, CoAP Max-Age) */
#define BP_H_EXPIRY_NS 7u
/* string: the protocol's own method where a verb has several: POST FETCH PATCH iPATCH DELETE */
#define BP_H_METHOD 8u
#define BP_H_REPLY_TO 9u     /* string: where an answer goes (MQTT 5 response topic) */
#define BP_H_CORRELATION 10u /* bytes: joins an answer to its question */
/* string: who the peer proved to be, set by the plugin that saw it */
#define BP_H_PEER_USER 11u
#define BP_H_PEER_UID 12u         /* uint: SO_PEERCRED and alike */
#define BP_H_PEER_CERTIFICATE 13u /* bytes: DER (RFC 5280) */
/* uint: 0 at most once, 1 at least once, 2 exactly once (MQTT); CoAP: 0 NON, 1 CON */
#define BP_H_QOS 14u
#define BP_H_RETAIN 15u      /* bool: keep as the address's last value (MQTT) */
#define BP_H_OVERFLOW 16u    /* uint, watch: BP_OVERFLOW_* */
#define BP_H_TRACEPARENT 17u /* string: W3C Trace Context */
/* uint: routes passed; a route refuses at its limit, so that loops end */
#define BP_H_HOPS 18u
#define BP_H_CREATE 19u /* bool, open: make the path on a listening instance */
#define BP_H_ETAG 20u   /* bytes: the version of a representation (CoAP, HTTP) */
/* string: the peer's transport address; shown, never a proof */
#define BP_H_PEER_ADDRESS 21u
#define BP_H_TYPE 22u  /* string, browse: the mechanism's own type of the entry */
#define BP_H_TITLE 23u /* string, browse: for people */
#define BP_H_VERBS 24u /* uint, browse: the mask of verbs of the entry */
/* string, read and write: a part of an array, as "1:3" (OPC UA Part 4, 7.27) */
#define BP_H_INDEX_RANGE 25u
/* string: the mechanism's type of the body where the value alone does not tell it */
#define BP_H_NATIVE_TYPE 26u
/* string, of a failure: the mechanism's own name for it (D-Bus), where no number has it */
#define BP_H_ERROR_NAME 27u
/* map: metadata that came after the body, where the other headers came before it (gRPC, HTTP) */
#define BP_H_TRAILERS 28u
/* map, in: the mechanism's own options of this operation, by the names of the plugin's README */
#define BP_H_OPTIONS 29u
/* int, duplex call: how long the whole stream may last; the peer is told if it can be (gRPC) */
#define BP_H_LIFETIME_NS 30u
/* time: the source's time where time_ns cannot hold it: before 1677, after 2262 */
#define BP_H_SOURCE_TIME 31u

#define BP_MATCH_EXACT 0u
#define BP_MATCH_PREFIX 1u
#define BP_KIND_UNARY 0u
#define BP_KIND_CLIENT_STREAM 1u
#define BP_KIND_SERVER_STREAM 2u
#define BP_KIND_BIDI_STREAM 3u
#define BP_OVERFLOW_BLOCK 0u
#define BP_OVERFLOW_DROP_OLDEST 1u
#define BP_OVERFLOW_LATEST 2u
#define BP_OVERFLOW_FAIL 3u
