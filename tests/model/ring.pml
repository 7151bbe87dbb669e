/* SPDX-License-Identifier: Apache-2.0 */
/* A model of how the two sides of a link wait for each other (plugins/isolation/link/ring.hpp and
 * ring_channel.cpp) for spin: every interleaving of two loops, each of which writes into a ring that
 * is soon full, and reads the other's. One bell serves both: a byte on the socket of that side. A
 * step here is one atomic access there. What has the name of a function is that function.
 *
 * Checked: all that is written is read, and nobody waits for ever.
 *
 * FAULT seeds a mistake, which must be found:
 *   1   RingReader::sleep() does not look into the ring again
 *   2   wake_other() comes before publish()
 *   3   RingWriter::wait() does not look for room again
 *   4   the reader looks whether the writer waits, and then makes room
 *   5   must_wake() takes the mark and nobody is rung
 *   6   work() flushes before the bells are taken, and not after */

#ifndef FAULT
#define FAULT 0
#endif
#ifndef SIZE
#define SIZE 1
#define MESSAGES 3
#endif

byte written[2], read[2];               /* of the ring that side i writes */
bool reader_sleeps[2], writer_waits[2]; /* likewise */
bool bell[2];                           /* there is one in the socket of side i */

inline must_wake(mark, other) {
  if
  :: mark ->
    atomic {
      taken = mark;
      mark = false
    }
    if
    :: taken && FAULT != 5 -> bell[other] = true
    :: else
    fi
  :: else
  fi
}

inline flush() {
  do
  :: at == MESSAGES -> break
  :: at < MESSAGES && at - read[me] < SIZE ->
    at++;
#if FAULT == 2
    must_wake(reader_sleeps[me], 1 - me);
    written[me] = at
#else
    written[me] = at; /* publish() */
    unannounced = true
#endif
  :: at < MESSAGES && at - read[me] >= SIZE ->
    writer_waits[me] = true; /* wait() */
    if
#if FAULT != 3
    :: at - read[me] < SIZE -> writer_waits[me] = false
    :: at - read[me] >= SIZE -> break
#else
    :: break
#endif
    fi
  od
}

inline wake_other() {
  if
  :: unannounced -> unannounced = false; must_wake(reader_sleeps[me], 1 - me)
  :: else
  fi
}

inline read_all() {
  do
  :: written[1 - me] != have -> /* take() */
    have++;
#if FAULT == 4
    must_wake(writer_waits[1 - me], 1 - me);
    read[1 - me] = have
#else
    read[1 - me] = have;
    must_wake(writer_waits[1 - me], 1 - me)
#endif
  :: else ->
    reader_sleeps[1 - me] = true; /* sleep() */
    if
#if FAULT != 1
    :: written[1 - me] != have -> reader_sleeps[1 - me] = false
    :: written[1 - me] == have -> break
#else
    :: break
#endif
    fi
  od
}

proctype Side(byte me) {
  byte at = 0;   /* written */
  byte have = 0; /* read */
  bool unannounced = false;
  bool taken;
  flush(); /* send() */
  wake_other();
  do
  :: at == MESSAGES && have == MESSAGES -> break
  :: else -> /* work() */
#if FAULT == 6
    flush();
#endif
    bell[me] = false; /* drain_socket() */
    read_all();
#if FAULT != 6
    flush();
#endif
    wake_other();
    if
    :: at == MESSAGES && have == MESSAGES
    :: bell[me] /* the loop sleeps */
    fi
  od
}

init {
  atomic {
    run Side(0);
    run Side(1)
  }
}
