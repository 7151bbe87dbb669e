// SPDX-License-Identifier: Apache-2.0
// A remote model whose rows are fetched on demand. READ `model` gives the number of rows, with
// INDEX_RANGE "a:b" those rows as structs (name, value); WATCH gives the changes, without contents:
// MAP {change: insert|remove|set, first, last}. Both carry the model's version as seq, so that a
// reader knows which changes a row already contains. WRITE `model/edit`: ARGUMENTS (change, index[,
// name, value]).
#include "mechanisms.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>

enum { kMaxRows = 256, kMaxChanges = 256, kInitialRows = 100 };

typedef struct Row {
  char name[24];
  int64_t value;
} Row;

typedef struct Change {
  const char* kind;
  uint32_t index;
} Change;

struct Model {
  // guarded by Fake.mutex
  Row rows[kMaxRows];
  uint32_t n_rows;
  Change changes[kMaxChanges];  // change i makes version i + 1
  uint32_t version;
};

static bool parse_range(const bp_value* text, uint32_t* first, uint32_t* last) {
  char copy[24];
  if (text->tag != BP_T_STRING || text->len >= sizeof copy) return false;
  memcpy(copy, text->as.s, text->len);
  copy[text->len] = '\0';
  char* at = copy;
  *first = *last = (uint32_t)strtoul(at, &at, 10);
  if (*at == ':') *last = (uint32_t)strtoul(at + 1, &at, 10);
  return *at == '\0' && *first <= *last;
}

static bp_status read_rows_locked(Model* m, bp_op* op, uint32_t first, uint32_t last) {
  static const char* const kTooFar = "the model has fewer rows";
  if (last >= m->n_rows) return fail(op, BP_OUT_OF_RANGE, 0, "fake", kTooFar);
  const uint32_t n = last - first + 1;
  bp_value* structs = calloc(n, 3 * sizeof *structs);  // the structs, then two fields each
  if (structs == NULL) return BP_RESOURCE_EXHAUSTED;
  for (uint32_t i = 0; i < n; ++i) {
    bp_value* fields = structs + n + 2 * (size_t)i;
    fields[0] = value_text(m->rows[first + i].name);
    fields[1] = value_int(m->rows[first + i].value, 64);
    structs[i] = value_list(fields, 2, BP_LIST_STRUCT);
  }
  bp_message message = message_of(value_list(structs, n, BP_TYPE(BP_T_LIST, BP_LIST_STRUCT)));
  message.seq = m->version;
  const bp_status status = answer(op, &message);
  free(structs);
  return status;
}

// The rows are those of the time of the answer, not of the question.
static bp_status read_step(Work* self) {
  Model* m = self->object;
  if (work_cancelled(self)) return BP_CANCELLED;
  const bp_value* range = find_header(self->op->in, BP_H_INDEX_RANGE);
  uint32_t first = 0;
  uint32_t last = 0;
  bp_status status = BP_OK;
  pthread_mutex_lock(&self->f->mutex);
  if (range == NULL) {
    self->op->out.body = value_uint(m->n_rows, 32);
    self->op->out.seq = m->version;
  } else if (parse_range(range, &first, &last)) {
    status = read_rows_locked(m, self->op, first, last);
  } else {
    status = fail(self->op, BP_INVALID_ARGUMENT, 0, "fake", "a range is FIRST:LAST");
  }
  pthread_mutex_unlock(&self->f->mutex);
  return status;
}

static bp_status watch_step(Work* self) {
  Model* m = self->object;
  Fake* f = self->f;
  if (work_cancelled(self)) return BP_CANCELLED;
  while (work_credit(self) != 0) {
    pthread_mutex_lock(&f->mutex);
    const bool news = self->position < m->version;
    const Change next = news ? m->changes[self->position] : (Change){NULL, 0};
    pthread_mutex_unlock(&f->mutex);
    if (!news) return BP_PENDING;
    const bp_pair body[] = {metadata("change", value_text(next.kind)),
                            metadata("first", value_uint(next.index, 32)),
                            metadata("last", value_uint(next.index, 32))};
    bp_message message = message_of(value_map(body, 3));
    message.seq = ++self->position;
    work_spend(self, 1);
    const bp_status status = f->endpoints->deliver(f->host, self->op, &message, 1);
    if (status < 0) return status;
  }
  return BP_PENDING;
}

static bp_status model_submit(bp_op* op) {
  End* at = op->self;
  if (op->verb == BP_V_READ) return work_begin(at->f, op, at->object, read_step, NULL, NULL);
  if (op->verb == BP_V_WATCH) {
    return work_begin(at->f, op, at->object, watch_step, NULL, NULL);
  }
  return fail(op, BP_UNIMPLEMENTED, 0, "fake", "a model is read and watched");
}

static bool set_row(Row* r, const bp_value* arguments, uint32_t n) {
  if (n != 4 || arguments[2].tag != BP_T_STRING || arguments[2].len >= sizeof r->name) return false;
  memset(r, 0, sizeof *r);
  memcpy(r->name, arguments[2].as.s, arguments[2].len);
  r->value = arguments[3].as.i;
  return true;
}

static bool edit_locked(Model* m, const bp_value* arguments, uint32_t n) {
  const uint64_t at = arguments[1].as.u;
  const char* kind = NULL;
  Row made;
  if (m->version == kMaxChanges) return false;
  if (value_is_text(&arguments[0], "insert")) {
    if (at > m->n_rows || m->n_rows == kMaxRows || !set_row(&made, arguments, n)) return false;
    memmove(m->rows + at + 1, m->rows + at, (m->n_rows - at) * sizeof *m->rows);
    m->rows[at] = made;
    ++m->n_rows;
    kind = "insert";
  } else if (value_is_text(&arguments[0], "remove")) {
    if (at >= m->n_rows) return false;
    memmove(m->rows + at, m->rows + at + 1, (m->n_rows - at - 1) * sizeof *m->rows);
    --m->n_rows;
    kind = "remove";
  } else {
    if (at >= m->n_rows || !set_row(&made, arguments, n)) return false;
    m->rows[at] = made;
    kind = "set";
  }
  m->changes[m->version++] = (Change){kind, (uint32_t)at};
  return true;
}

static bp_status edit_submit(bp_op* op) {
  End* at = op->self;
  if (op->verb != BP_V_WRITE || op->in == NULL || op->in->body.aux != BP_LIST_ARGUMENTS ||
      op->in->body.len < 2) {
    return fail(op, BP_INVALID_ARGUMENT, 0, "fake", "an edit is a change, an index, and a row");
  }
  pthread_mutex_lock(&at->f->mutex);
  const bool edited = edit_locked(at->object, op->in->body.as.list, op->in->body.len);
  if (edited) pump_wake_locked(at->f);
  pthread_mutex_unlock(&at->f->mutex);
  return edited ? BP_OK : fail(op, BP_OUT_OF_RANGE, 0, "fake", "no such row, or no room");
}

static const bp_endpoint_ops kModelOps = FAKE_OPS(model_submit);
static const bp_endpoint_ops kEditOps = FAKE_OPS(edit_submit);

static Model* the_model(Fake* f) {
  pthread_mutex_lock(&f->mutex);
  if (f->models == NULL && (f->models = calloc(1, sizeof *f->models)) != NULL) {
    Model* m = f->models;
    for (m->n_rows = 0; m->n_rows < kInitialRows; ++m->n_rows) {
      snprintf(m->rows[m->n_rows].name, sizeof m->rows->name, "row %u", m->n_rows);
      m->rows[m->n_rows].value = m->n_rows;
    }
  }
  Model* m = f->models;
  pthread_mutex_unlock(&f->mutex);
  return m;
}

bp_status model_open(Fake* f, bp_str rest, bp_endpoint* out) {
  Model* m = the_model(f);
  if (m == NULL) return BP_RESOURCE_EXHAUSTED;
  if (str_is(rest, "/edit")) return end_open(f, &kEditOps, m, BP_VERB_BIT(BP_V_WRITE), out);
  if (rest.len != 0) return BP_NOT_FOUND;
  return end_open(f, &kModelOps, m, BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WATCH), out);
}

void model_free_all(Fake* f) { free(f->models); }
