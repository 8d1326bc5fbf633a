/* A frame from its first stage to its last: its time, and the number of frames that can be followed.
 *
 * A thread of QEMU carries one frame of an owner at a time through the stages of a direction, in the order of
 * their positions. A frame that has to wait in a NetQueue is set aside when the next frame begins, or when the
 * thread waits for events again. It goes on with a stage in the middle. If no other frame was waiting, or all
 * waiting frames began together, it is that frame; otherwise it cannot be identified and counts as ambiguous.
 * QEMU's network code holds one lock, so only one thread at a time changes the set of waiting frames. A vhost
 * worker carries batches, which vhost.bpf.c follows.
 *
 * PART_*, FRAME_LANE, FRAME_GROUP, FRAME_KEY and FRAME_STOP_KEY are made from frames.py.
 */

/* How certain the frame's identity is. */
enum { FRAME_KNOWN, FRAME_MIXED, FRAME_ASTRAY };

struct frame {
    u64 began;
    u64 number; /* a batch is passed on as one */
    u64 turn;   /* of the thread */
    u64 latest; /* time of its last stage so far */
    u8 slot;    /* that stage's */
    u8 first;   /* slot */
    u8 position;
    u8 open;
    u8 how;
    u8 sampled;
    u8 kicked; /* slot + 1 of a kick that no sampled frame has followed yet */
    u64 kick;  /* when */
};

struct waiting {
    u64 began;
    u64 number;
    u8 first;
    u8 mixed; /* they did not begin together */
    u8 sampled;
    u8 slot;  /* where they stopped; NO_SLOT: not all at the same stage */
    u64 latest;
};

struct frame_count {
    u64 matched;
    u64 ambiguous;
    u64 astray; /* ended, but did not begin in the window */
    u64 waited; /* went on after having been set aside */
};

/* Owners are separate, and so are QEMU's frames and the kernel's: a FRAME_GROUP. */
BPF_ARRAY(frame_parts, u8, STAGE_INDEX_SIZE);  /* STAGE_INDEX */
BPF_HASH(frames_now, u64, struct frame, 4096); /* FRAME_KEY */
BPF_HASH(frames_turn, u32, u64, 4096);         /* thread -> number of its waits for events */
BPF_ARRAY(frames_waiting, struct waiting, FRAME_GROUP_SIZE);
BPF_PERCPU_ARRAY(frame_counts, struct frame_count, FRAME_GROUP_SIZE);
BPF_PERCPU_HASH(frame_times, u32, u64, 4096); /* EDGE_KEY */

BPF_HASH(frame_stops, u32, u64, 4096); /* FRAME_STOP_KEY -> frames that stopped there and have not gone on */
BPF_PERCPU_HASH(frame_waits, u32, u64, 4096); /* as frame_times: from where a frame stopped to where it went on */

/* One frame in N is sampled, if frame_samples.bpf.c is among the programs. */
#ifdef WITH_FRAME_SAMPLES
static __always_inline u8 sampling_on(void);
static __always_inline u8 sample_begins(u64 now);
static __always_inline void sample_hit(u32 slot, u32 group, u64 began, u64 when, u64 frames, u64 bytes);
static __always_inline void sample_data(u32 slot, u64 began, u64 at, u64 number, u64 length);
#else
static __always_inline u8 sampling_on(void) { return 0; }
static __always_inline u8 sample_begins(u64 now) { return 0; }
static __always_inline void sample_hit(u32 slot, u32 group, u64 began, u64 when, u64 frames, u64 bytes) {}
static __always_inline void sample_data(u32 slot, u64 began, u64 at, u64 number, u64 length) {}
#endif

/* Count `number` more waiting frames at a stage, or fewer if `number` is negative. */
static __always_inline void frame_stopped(u32 group, u8 slot, u64 number) {
    u32 place = FRAME_STOP_KEY(group, slot);
    u64 *frames = frame_stops.lookup(&place);
    if (frames)
        lock_xadd(frames, number);
    else if (frame_stops.update(&place, &number))
        lose(LOST_EDGES);
}

static __always_inline void frame_set_aside(u32 group, struct frame *frame, u64 number) {
    struct waiting *waiting = frames_waiting.lookup(&group);
    if (!waiting)
        return;
    frame_stopped(group, frame->slot, number);
    if (waiting->number) {
        waiting->mixed = 1;
        if (waiting->slot != frame->slot)
            waiting->slot = NO_SLOT;
    } else {
        waiting->slot = frame->slot;
        waiting->latest = frame->latest;
        waiting->began = frame->began;
        waiting->first = frame->first;
        waiting->mixed = frame->how != FRAME_KNOWN;
        waiting->sampled = frame->sampled;
    }
    waiting->number += number;
}

/* Take up to `number` frames from the waiting ones. */
static __always_inline u64 frame_taken(u32 group, struct waiting *waiting, u64 number) {
    u64 taken = number < waiting->number ? number : waiting->number;
    struct frame_count *count = frame_counts.lookup(&group);
    if (!taken)
        return 0;
    /* Frames that wait at several stages are counted together: it is unknown which of them goes on. */
    frame_stopped(group, waiting->slot, -taken);
    waiting->number -= taken;
    if (count)
        lock_xadd(&count->waited, taken);
    return taken;
}

static __always_inline void
frame_goes_on_counted(u32 group, struct waiting *waiting, u8 how, u64 number, u32 slot, u64 now) {
    u32 time = EDGE_KEY(FRAME_GROUP_OWNER(group), waiting->slot, slot, log2_of(now - waiting->latest));
    u64 taken = frame_taken(group, waiting, number);
    if (how != FRAME_KNOWN || !taken)
        return;
    u64 *times = frame_waits.lookup(&time);
    if (times)
        lock_xadd(times, taken);
    else if (frame_waits.update(&time, &taken))
        lose(LOST_EDGES);
}

/* `number` frames that had been set aside go on. */
static __always_inline void frame_goes_on(u32 group, struct frame *frame, u64 number, u32 slot, u64 now) {
    struct waiting *waiting = frames_waiting.lookup(&group);
    if (!waiting)
        return;
    frame->number = number;
    frame->open = 1;
    frame->how = FRAME_ASTRAY;
    frame->began = now;
    frame->first = slot;
    frame->sampled = 0;
    if (waiting->number) {
        frame->how = waiting->mixed || waiting->number < number ? FRAME_MIXED : FRAME_KNOWN;
        frame->began = waiting->began;
        frame->first = waiting->first;
        frame->sampled = frame->how == FRAME_KNOWN && waiting->sampled;
        frame_goes_on_counted(group, waiting, frame->how, number, slot, now);
    }
}

/* `number` matched frames took that many ns from the stage in slot `first` to the one in `last`. */
static __always_inline void frame_took(u32 group, u8 first, u32 last, u64 took, u64 number) {
    u32 time = EDGE_KEY(FRAME_GROUP_OWNER(group), first, last, log2_of(took));
    u64 *times = frame_times.lookup(&time);
    if (times)
        lock_xadd(times, number);
    else if (frame_times.update(&time, &number))
        lose(LOST_EDGES);
}

static __always_inline void frame_ends(u32 group, struct frame *frame, u64 number, u32 slot, u64 now) {
    struct frame_count *count = frame_counts.lookup(&group);
    struct waiting *waiting = frames_waiting.lookup(&group);
    frame->open = 0;
    if (!count || !waiting)
        return;
    if (number < frame->number) {
        frame_set_aside(group, frame, frame->number - number);
    } else if (number > frame->number) { /* frames passed on one by one end together */
        frame_taken(group, waiting, number - frame->number);
        frame->how = FRAME_MIXED;
    }
    if (frame->how == FRAME_MIXED) {
        lock_xadd(&count->ambiguous, number);
        return;
    }
    if (frame->how == FRAME_ASTRAY) {
        lock_xadd(&count->astray, number);
        return;
    }
    lock_xadd(&count->matched, number);
    frame_took(group, frame->first, slot, now - frame->began, number);
}

/* A stage without a count of frames: a kick precedes its frame, an interrupt follows it, a piece of a stream is
 * within. Returns the time at which the sampled frame began, or 0. */
static __always_inline u64 frame_notice(u32 slot, struct place *place, u32 group, struct frame *frame, u64 now) {
    if (frame->sampled && frame->position < place->position) {
        u64 began = frame->began;
        sample_hit(slot, group, began, now, 0, 0);
        if (!frame->open)
            frame->sampled = 0; /* its interrupt; the next one belongs to another frame */
        return began;
    }
    frame->kicked = slot + 1;
    frame->kick = now;
    return 0;
}

/* The frame of this group that this thread carries, NULL if the map is full. */
static __always_inline struct frame *frame_of(u32 group) {
    u64 key = FRAME_KEY((u32)bpf_get_current_pid_tgid(), group);
    struct frame *frame = frames_now.lookup(&key);
    if (!frame) {
        struct frame none = {};
        frames_now.update(&key, &none);
        frame = frames_now.lookup(&key);
        if (!frame)
            lose(LOST_THREADS);
    }
    return frame;
}

/* `number` frames of an owner have passed the stage in `slot`. Returns the time at which the frame began if it is
 * sampled. */
static __always_inline u64
frame_passed(u32 slot, struct place *place, u32 owner, u64 number, u64 bytes, u64 now) {
    u32 index = STAGE_INDEX(owner, slot), thread = bpf_get_current_pid_tgid();
    u32 group = FRAME_GROUP(owner, FRAME_LANE(0, place->direction));
    u8 *part = frame_parts.lookup(&index);
    if (place->kernel || !part || (number ? !*part : !sampling_on()))
        return 0;
    struct frame *frame = frame_of(group);
    if (!frame)
        return 0;
    if (!number)
        return frame_notice(slot, place, group, frame, now);
    u64 *turns = frames_turn.lookup(&thread), turn = turns ? *turns : 0;
    u32 goes_on = frame->open && frame->turn == turn && frame->position < place->position;
    if (*part & PART_FIRST || !goes_on) {
        if (frame->open)
            frame_set_aside(group, frame, frame->number);
        if (*part & PART_FIRST) {
            frame->began = now;
            frame->number = number;
            frame->first = slot;
            frame->open = 1;
            frame->how = FRAME_KNOWN;
            frame->sampled = sample_begins(now);
            if (frame->sampled && frame->kicked)
                sample_hit(frame->kicked - 1, group, now, frame->kick, 0, 0);
            frame->kicked = 0;
        } else {
            frame_goes_on(group, frame, number, slot, now);
        }
        frame->turn = turn;
    }
    frame->position = place->position;
    frame->slot = slot;
    frame->latest = now;
    u64 began = frame->sampled ? frame->began : 0;
    if (began)
        sample_hit(slot, group, began, now, number, bytes);
    if (*part & PART_LAST)
        frame_ends(group, frame, number, slot, now);
    return began;
}

/* The thread has waited for events: its frames that began and have not ended are in a queue. */
static __always_inline void frames_rest(void) {
    u32 thread = bpf_get_current_pid_tgid();
    u64 *turns = frames_turn.lookup(&thread), one = 1;
    if (turns)
        *turns += 1;
    else
        frames_turn.update(&thread, &one);
}
