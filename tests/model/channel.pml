/* SPDX-License-Identifier: Apache-2.0 */
/* A model of the channel's algorithm (kernel/src/channel_*.hpp) for spin: every interleaving of
 * publishers and a subscriber over a ring that turns, each of which may be killed between two steps,
 * is reclaimed, and starts anew; a publisher may also be stopped until all others have ended. A step here is one atomic instruction there, but
 * of is_in_ring(), which reads a position that its caller alone may write and then the ring. What has
 * the name of a function is that function.
 *
 * Checked: what a subscriber reads is the whole of the sample of its cursor; nobody writes what is
 * published or held; a loan never fails; with BLOCK nothing is lost; nobody waits for ever; in the
 * end nothing is held.
 *
 * FAULT seeds a mistake, which must be found:
 *   1   hold() does not look at the ring again
 *   2   copy() does not look at the position again
 *   3   claim() does not look whether the slot is in the ring
 *   4   claim() looks whether it is in the ring before it takes it, and not after
 *   5   publish() drops its own bit before the slot is in the ring
 *   6   reclaim() leaves what the dead one held
 *   7   one slot too few
 *   8   publish() waits for the head, and helps nobody
 *   9   claim() does not take the position away before the sample is written
 *   10  claim() does not look whether somebody else has it, too
 *   11  wait() does not look at the ring again when it is counted as waiting
 *   12  reclaim() does not ring
 *   13  with BLOCK: begin() does not look at the head again
 *   14  wake_with() says that somebody was woken before it wakes
 *   15  with BLOCK: begin() gives no room
 *   16  with BLOCK: wait_for_room() does not look at the cursor again */

#ifndef RING
#define RING 1
#define PUBLISHERS 2
#define MESSAGES 2 /* of the first publisher; one less of the second */
#define KILLS 0
#define STOPS 0
#define BLOCK 0
#define HISTORY 0
#endif
#ifndef FAULT
#define FAULT 0
#endif

#if FAULT == 7
#define SLOTS (RING + PUBLISHERS)
#else
#define SLOTS (RING + PUBLISHERS + 1) /* and what a subscriber holds */
#endif

#define SUBSCRIBER PUBLISHERS /* its place */
#define PEERS (PUBLISHERS + 1)
#define BIT(p) (1 << (p))
#define TOTAL (PUBLISHERS * MESSAGES - PUBLISHERS / 2)
#define CONTENT(p) ((p) * MESSAGES + message[p] + 1)
#define NOT_JOINED 255

/* A word of the ring: sequence and slot change at once. */
typedef Word {
  byte sequence; /* and 1; 0: none */
  byte slot
};
typedef Slot {
  byte holders;
  byte position;  /* (sequence + 1) * 2, and 1 when that is published; 0: none */
  byte content[2] /* of one sample: the same twice */
};

Word ring[RING];
Slot slots[SLOTS];
byte head;
byte cursor = NOT_JOINED;

typedef Waiting {
  byte waits;
  byte woken
};
Waiting sleeping;
byte bell;
Waiting blocked;
byte room;

byte message[PUBLISHERS];          /* how many each has published */
byte said[TOTAL];  /* a ghost: the content that was published as that sequence */
byte n_ended;
byte n_killed;
byte n_stopped;
byte promised; /* a ghost: sequence and 1 of the last publication whose publisher is through */

#define WORD_IS(s, x) (ring[(s) % RING].sequence == (s) + 1 && ring[(s) % RING].slot == (x))

/* Perhaps it is killed here: what is in memory stays. */
#define MAY_DIE \
  if :: true :: atomic { n_killed < KILLS -> n_killed++ }; goto killed fi

/* Perhaps it is stopped here, until the others have ended, and what they say they published is there:
 * of its own nobody has told anybody. */
#define MAY_STOP(may) \
  if \
  :: true \
  :: atomic { may && n_stopped < STOPS -> n_stopped++ }; \
     n_ended >= PUBLISHERS - 1 && cursor >= promised \
  fi

/* Rings a word that others sleep for, if they wait: nobody takes a mark away. */
inline wake_with(w, word, seen, may) {
  seen = w.waits;
  if
  :: seen != w.woken ->
#if FAULT == 14
     w.woken = seen;
     MAY_DIE;
     MAY_STOP(may);
     word++;
#else
     MAY_DIE;
     MAY_STOP(may);
     word++;
     MAY_DIE;
     w.woken = seen;
#endif
  :: else
  fi;
  seen = 0
}

/* The slot's position says where in the ring it would be. */
inline is_in_ring(x, yes) {
  atomic {
    yes = false;
    if
    :: slots[x].position / 2 != 0 ->
       if :: WORD_IS(slots[x].position / 2 - 1, x) -> yes = true :: else fi
    :: else
    fi
  }
}

/* By whoever finds it dead; then another has its place. */
inline reclaim(p, x) {
  x = 0;
  do
  :: x < SLOTS ->
#if FAULT != 6
     atomic { slots[x].holders = slots[x].holders & ~BIT(p) };
#endif
     x++
  :: else -> break
  od;
  x = 0;
  if :: p == SUBSCRIBER -> cursor = NOT_JOINED :: else fi;
#if FAULT != 12
  bell++; /* whether somebody waits or not: whom the dead one was about to wake */
#endif
  room++
}

proctype Publisher(byte p) {
  byte x, h, tries, seen;
  bool is_taken;

again:
  do
  :: message[p] == MESSAGES - p -> break
  :: else ->
     /* claim(): a slot that nobody holds and that is not in the ring */
claim:
     atomic { assert(tries <= 3 * SLOTS); tries++ }
#if FAULT == 4
     is_in_ring(x, is_taken);
     if :: is_taken -> x = (x + 1) % SLOTS; goto claim :: else fi;
#endif
     atomic {
       if
       :: slots[x].holders == 0 -> slots[x].holders = BIT(p)
       :: else -> x = (x + 1) % SLOTS; goto claim
       fi
     }
     MAY_DIE;
#if FAULT != 3 && FAULT != 4
     is_in_ring(x, is_taken);
#if FAULT != 10
     /* Or it was until now, and a subscriber holds it, whose bit came before it left the ring. */
     is_taken = is_taken || slots[x].holders != BIT(p);
#endif
     if
     :: is_taken ->
        atomic { slots[x].holders = slots[x].holders & ~BIT(p); x = (x + 1) % SLOTS };
        goto claim
     :: else
     fi;
#endif
#if FAULT != 9
     slots[x].position = 0;
#endif
     tries = 0; /* what is not used any more is 0: the fewer states */

     /* The caller writes, in two steps, so that half of it can be seen. */
     slots[x].content[0] = CONTENT(p);
     MAY_DIE;
     slots[x].content[1] = CONTENT(p);

publish:
     h = head;
     if
     :: ring[h % RING].sequence >= h + 1 -> /* who published that is late, or was killed: help */
#if FAULT == 8
        head > h;
#else
        atomic { if :: head == h -> head = h + 1 :: else fi };
#endif
        goto publish
     :: else
     fi;
#if BLOCK
     if
     :: cursor != NOT_JOINED && cursor + RING <= h -> /* wait_for_room() */
        seen = room;
        blocked.waits++;
        MAY_DIE;
        if
#if FAULT != 16
        :: cursor == NOT_JOINED || cursor + RING > h
        :: else -> room != seen
#else
        :: room != seen
#endif
        fi;
        seen = 0;
        goto publish
     :: else
     fi;
#endif
     slots[x].position = (h + 1) * 2;
     MAY_DIE;
#if FAULT == 5
     atomic { slots[x].holders = slots[x].holders & ~BIT(p) };
#endif
     atomic {
       if
       :: ring[h % RING].sequence < h + 1 ->
          ring[h % RING].sequence = h + 1;
          ring[h % RING].slot = x;
          said[h] = CONTENT(p);
          message[p]++
       :: else -> goto publish
       fi
     }
     MAY_DIE;
     MAY_STOP(true);
     slots[x].position = (h + 1) * 2 + 1;
     MAY_DIE;
     atomic { if :: head == h -> head = h + 1 :: else fi };
     MAY_DIE;
     wake_with(sleeping, bell, seen, true);
     atomic { if :: h + 1 > promised -> promised = h + 1 :: else fi; h = 0 };
     /* With the next publication: */
#if FAULT != 5
     atomic { slots[x].holders = slots[x].holders & ~BIT(p) };
#endif
     x = 0
  od;
  n_ended++;
  goto end;
killed:
  atomic { h = 0; tries = 0; is_taken = false; seen = 0 };
  reclaim(p, x);
  goto again;
end:
  skip
}

/* The bytes of the sample. */
#define READ(x) first = slots[x].content[0]; second = slots[x].content[1]
#define IS_SAMPLE (first == said[cursor] && second == said[cursor])

/* give_room(): the code waits until the ring is half read; a ring of 1 or 2 is, each time. */
#if BLOCK
#define GIVE_ROOM wake_with(blocked, room, seen, false)
#else
#define GIVE_ROOM skip
#endif

proctype Subscriber() {
  byte x, first, second, sequence, seen;
  bool is_it;
  byte before;

again:
begin:
  sequence = head;
  if :: sequence > HISTORY -> cursor = sequence - HISTORY :: else -> cursor = 0 fi;
#if FAULT != 15
  GIVE_ROOM;
#endif
  MAY_DIE;
#if FAULT != 13
  if :: head != sequence -> goto begin :: else fi;
#endif
  sequence = 0;

  do
  :: cursor == TOTAL -> break
  :: else ->
     if
     :: true -> /* copy(), of a slot that a hint names */
        do :: x < SLOTS - 1 -> x++ :: break od;
        if
        :: slots[x].position == (cursor + 1) * 2 + 1 ->
           READ(x);
           is_it = true;
#if FAULT != 2
           is_it = slots[x].position == (cursor + 1) * 2 + 1;
#endif
           if :: is_it -> assert(IS_SAMPLE); cursor++; GIVE_ROOM :: else fi;
           atomic { first = 0; second = 0; is_it = false }
        :: else
        fi;
        x = 0
     :: true -> /* hold(), of what the ring says */
        atomic { sequence = ring[cursor % RING].sequence; x = ring[cursor % RING].slot };
        if
        :: sequence == cursor + 1 ->
           atomic { slots[x].holders = slots[x].holders | BIT(SUBSCRIBER) };
           MAY_DIE;
           is_it = true;
#if FAULT != 1
           is_it = WORD_IS(cursor, x);
#endif
           if
           :: is_it ->
              READ(x);
              assert(IS_SAMPLE);
              MAY_DIE;
              cursor++;
              GIVE_ROOM
           :: else
           fi;
           atomic {
             slots[x].holders = slots[x].holders & ~BIT(SUBSCRIBER);
             first = 0; second = 0; is_it = false
           }
        :: sequence > cursor + 1 -> /* skip_lost(): to the oldest that there is */
#if BLOCK
           assert(false);
#endif
           sequence = head;
           if
           :: sequence > cursor + RING -> cursor = sequence - RING
           :: else -> cursor++ /* the head is late */
           fi
        :: else -> /* wait() */
           before = bell;
           sleeping.waits++;
           MAY_DIE;
#if FAULT != 11
           if :: ring[cursor % RING].sequence >= cursor + 1 -> goto waited :: else fi;
#endif
           bell != before;
waited:
           before = 0
        fi;
        atomic { x = 0; sequence = 0 }
     fi
  od;
  n_ended++;
  goto end;
killed:
  atomic { first = 0; second = 0; sequence = 0; is_it = false; seen = 0; before = 0 };
  reclaim(SUBSCRIBER, x);
  goto again;
end:
  cursor = NOT_JOINED
}

init {
  byte i;
  atomic {
    do
    :: i < PUBLISHERS -> run Publisher(i); i++
    :: else -> break
    od;
    run Subscriber()
  }
  n_ended == PEERS;
  atomic {
    i = 0;
    do
    :: i < SLOTS -> assert(slots[i].holders == 0); i++
    :: else -> break
    od
  }
}
