/* SPDX-License-Identifier: Apache-2.0 */
/* A model of how the two sides of a ring wait for each other (plugins/isolation/link/ring.hpp and
 * ring_channel.cpp) for spin: every interleaving of a writer and a reader over a ring that is soon
 * full. A step here is one atomic access there. What has the name of a function is that function.
 *
 * Checked: all that is written is read, and nobody waits for ever.
 *
 * FAULT seeds a mistake, which must be found:
 *   1   RingReader::sleep() does not look into the ring again
 *   2   the writer looks whether the reader sleeps, and then publishes
 *   3   RingWriter::wait() does not look for room again
 *   4   the reader looks whether the writer waits, and then makes room (of SIZE 1)
 *   5   must_wake() takes the mark and rings nobody */

#ifndef FAULT
#define FAULT 0
#endif

#ifndef SIZE
#define SIZE 2
#endif
#define MESSAGES 6

byte written, read;
bool reader_sleeps, writer_waits;
bool to_reader, to_writer; /* there are bells in the socket */

inline must_wake(mark, bell) {
  if
  :: mark ->
    atomic {
      if
      :: mark -> mark = false; taken = true
      :: else -> taken = false
      fi
    }
    if
    :: taken && FAULT != 5 -> bell = true
    :: else
    fi
  :: else
  fi
}

proctype Writer() {
  byte at = 0;
  bool taken;
  do
  :: at == MESSAGES -> break
  :: at < MESSAGES ->
    if
    :: at - read < SIZE ->
      at++;
#if FAULT == 2
      must_wake(reader_sleeps, to_reader);
      written = at
#else
      written = at; /* publish() */
      must_wake(reader_sleeps, to_reader)
#endif
    :: else -> /* wait() */
      writer_waits = true;
      if
#if FAULT != 3
      :: at - read < SIZE -> writer_waits = false
#endif
      :: at - read >= SIZE -> atomic { to_writer -> to_writer = false } /* poll, drain_socket() */
#if FAULT == 3
      :: at - read < SIZE -> atomic { to_writer -> to_writer = false }
#endif
      fi
    fi
  od
}

proctype Reader() {
  byte at = 0;
  bool taken;
  do
  :: at == MESSAGES -> break
  :: at < MESSAGES ->
    if
    :: written != at -> /* take() */
      at++;
#if FAULT == 4
      must_wake(writer_waits, to_writer);
      read = at
#else
      read = at;
      must_wake(writer_waits, to_writer)
#endif
    :: else -> /* sleep() */
      reader_sleeps = true;
      if
#if FAULT != 1
      :: written != at -> reader_sleeps = false
      :: written == at -> atomic { to_reader -> to_reader = false }
#else
      :: atomic { to_reader -> to_reader = false }
#endif
      fi
    fi
  od
}

init {
  atomic {
    run Writer();
    run Reader()
  }
}
