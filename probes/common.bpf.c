/* The part that all probes share: the target, the counters of its hits, and the time of a passage.
 *
 * Everything is aggregated here, in the kernel: one array slot for each stage, one log2 histogram for each edge.
 * No event leaves the kernel for a frame, unless frames are sampled (frame_samples.bpf.c). Additions are atomic:
 * since Linux 6.x a uprobe's program can be preempted in the middle, and an exact count must not lose one.
 *
 * A process may have several NICs and queues; an owner is a pair of network clients (net/net.c), numbered from
 * 1. The owner of a hit is found by the object among the function's arguments. If the object is unknown, it is the
 * last owner on the same thread and direction, because a frame is passed from function to function. 0: unknown.
 *
 * Declarations made from Python precede all C texts: SLOTS, OWNERS, TX, RX, COUNTS_*, STAGE_INDEX, EDGE_KEY and
 * others from common.py; LOST_* from the `losses` of every file.
 */
#include <uapi/linux/ptrace.h>

#define UNKNOWN 0
#define NOBODY 0xff /* unknown, and the last owner on the thread is no guide */

/* The one process that is traced. Offsets are bytes into QEMU's structures, from the source index. */
struct target {
    u32 tgid;
    u32 running; /* COUNTS_* */
    u32 owners;  /* number of known owners; 0: the objects are unknown, all hits count together */
    u32 sockets; /* the owner of sockets that are no client's own descriptor, UNKNOWN where several have such */
    u16 client_info;   /* NetClientState.info */
    u16 info_type;     /* NetClientInfo.type */
    u16 queue_device;  /* VirtQueue.vdev */
    u16 queue_index;   /* VirtQueue.queue_index */
    u16 queue_kick;    /* VirtQueue.host_notifier */
    u16 device_id;     /* VirtIODevice.device_id */
    u16 element_out;   /* VirtQueueElement.out_num */
    u16 element_in;    /* VirtQueueElement.in_num */
    u16 device_queues;  /* VirtIODevice.vq */
    u16 queue_enabled;  /* VirtQueue.host_notifier_enabled */
    u16 queue_size;     /* sizeof(VirtQueue) */
    u16 driver_nic;    /* the value of NET_CLIENT_DRIVER_NIC */
    u16 driver_port;   /* the value of NET_CLIENT_DRIVER_HUBPORT */
};

struct count {
    u64 calls;
    u64 frames;
    u64 bytes;
    u64 seen; /* calls while functions were counted */
};

/* The place of a slot on its path; slots of one direction are ordered by position. */
struct place {
    u8 direction;
    u8 position;
    u8 kernel; /* 1: the kernel carries the frames here */
};

struct seen {
    u64 when;
    u8 slot;
    u8 position;
    u8 owner;
    u8 followed; /* the owner as which its frames are followed: see followed_as */
};

/* Sums that programs count by an index of their own. */
struct tally {
    u64 calls;
    u64 bytes;
};

BPF_ARRAY(targets, struct target, 1);
BPF_ARRAY(places, struct place, SLOTS);
BPF_PERCPU_ARRAY(counts, struct count, STAGE_INDEX_SIZE);
BPF_PERCPU_ARRAY(way_counts, u64, WAY_INDEX_SIZE);
BPF_HASH(giving, u32, u32, 1024); /* thread -> owner << 8 | direction of its last returned buffers */
BPF_HASH(owners, u64, u32, 4096); /* address of an object of QEMU -> owner */
/* owner -> the owner as which its frames are followed, 0: itself. Behind a hub with one NIC and one back end, the
 * back end's owner passes the NIC's frames on, on the same thread. */
BPF_ARRAY(followed_as, u32, OWNERS);
BPF_HASH(vhost_workers, u32, u32, 256); /* vhost thread of the traced process -> owner */
BPF_PERCPU_ARRAY(lost, u64, LOST_KINDS);
BPF_PERCPU_ARRAY(hits, u64, 1); /* of all functions: the cost of probing is computed from it */
BPF_PERCPU_HASH(edges, u32, u64, 8192); /* EDGE_KEY */
BPF_HASH(latest, u64, struct seen, 4096);
BPF_ARRAY(last_way, u32, OWNERS); /* owner -> direction of its last frame + 1, 0 before the first */

static __always_inline void lose(u32 kind) {
    u64 *value = lost.lookup(&kind);
    if (value)
        lock_xadd(value, 1);
}

/* The target if this is one of its threads and `what` is counted now, else NULL. */
static __always_inline struct target *counted(u32 what) {
    u32 zero = 0;
    struct target *target = targets.lookup(&zero);
    if (!target || !(target->running & what))
        return 0;
    if (target->tgid != bpf_get_current_pid_tgid() >> 32)
        return 0;
    return target;
}

static __always_inline void hit(void) {
    u32 zero = 0;
    u64 *all = hits.lookup(&zero);
    if (all)
        lock_xadd(all, 1);
}

/* As above, at a function of QEMU. */
static __always_inline struct target *traced(void) {
    struct target *target = counted(COUNTS_FUNCTIONS);
    if (target)
        hit();
    return target;
}

/* 1 where any bit is set, else 0. Without a branch: the verifier would follow both sides of each, and in a loop
 * it would give up. */
static __always_inline u64 any_bit(u64 value) {
    u64 negative = -value;
    asm volatile("" : "+r"(negative));
    return (value | negative) >> 63;
}

static __always_inline u32 log2_of(u64 value) {
    u64 result = any_bit(value >> 32) << 5, step;
    value >>= result;
    step = any_bit(value >> 16) << 4, value >>= step, result |= step;
    step = any_bit(value >> 8) << 3, value >>= step, result |= step;
    step = any_bit(value >> 4) << 2, value >>= step, result |= step;
    step = any_bit(value >> 2) << 1, value >>= step, result |= step;
    return result | any_bit(value >> 1);
}

/* The owner of an object of QEMU, or UNKNOWN. */
static __always_inline u32 owner_of(u64 object) {
    u32 *owner = owners.lookup(&object);
    return owner ? *owner : UNKNOWN;
}

static __always_inline u64
frame_passed(u32 slot, struct place *place, u32 owner, u64 number, u64 bytes, u64 now);

/* Count one hit of a stage, and the time since its owner's last stage of that direction on this thread.
 * `entry` is its slot, and from bit 8 the number of the way by which it was passed, 0 for the usual one.
 * Returns the time at which the frame began if it is sampled, else 0. */
static __always_inline u64 passed(u32 entry, u32 owner, u64 frames, u64 bytes) {
    u32 slot = entry & 0xff, by = entry >> 8;
    struct place *place = places.lookup(&slot);
    if (!place)
        return 0;
    u64 key = (u64)(u32)bpf_get_current_pid_tgid() << 1 | place->direction;
    struct seen *before = latest.lookup(&key);
    if (owner == UNKNOWN && before)
        owner = before->owner;
    if (owner >= OWNERS)
        owner = UNKNOWN;
    u32 index = STAGE_INDEX(owner, slot);
    struct count *count = counts.lookup(&index);
    if (!count)
        return 0;
    lock_xadd(&count->calls, 1);
    if (frames)
        lock_xadd(&count->frames, frames);
    if (bytes)
        lock_xadd(&count->bytes, bytes);
    if (by) {
        u32 other_way = WAY_INDEX(owner, by);
        u64 *hits_by_it = way_counts.lookup(&other_way);
        if (hits_by_it)
            lock_xadd(hits_by_it, 1);
    }

    u32 zero = 0;
    struct target *target = targets.lookup(&zero);
    if (!target || !(target->running & COUNTS_FUNCTIONS))
        return 0; /* only a part of its path is seen */
    lock_xadd(&count->seen, 1);

    /* A kick is no frame: an interrupt's handler in the guest writes to registers too. A line that is only read stays
     * in every processor's cache. */
    u32 *way = last_way.lookup(&owner);
    if (frames && way && *way != place->direction + 1)
        *way = place->direction + 1;

    u64 now = bpf_ktime_get_ns();
    u32 *other = followed_as.lookup(&owner), followed = other && *other ? *other : owner;
    u64 sampled = frame_passed(slot, place, followed, frames, bytes, now);
    if (!before) {
        struct seen first = {
            .when = now, .slot = slot, .position = place->position, .owner = owner, .followed = followed};
        if (latest.update(&key, &first))
            lose(LOST_THREADS);
        return sampled;
    }
    if (before->position < place->position && before->followed == followed) {
        u32 edge = EDGE_KEY(followed, before->slot, slot, log2_of(now - before->when));
        u64 *passages = edges.lookup(&edge);
        if (passages) {
            lock_xadd(passages, 1);
        } else {
            u64 one = 1;
            if (edges.update(&edge, &one))
                lose(LOST_EDGES);
        }
    }
    before->when = now;
    before->slot = slot;
    before->position = place->position;
    before->owner = owner;
    before->followed = followed;
    return sampled;
}
