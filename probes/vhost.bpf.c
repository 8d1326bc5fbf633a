/* vhost-net in the kernel: the worker threads of one QEMU (drivers/vhost/net.c, drivers/net/tun.c, drivers/net/tap.c).
 *
 * A worker is one thread for one pair of queues, so the buffers that it returns belong to the direction of its work:
 * the last of handle_tx*, handle_rx*, tun_sendmsg and tun_recvmsg determines it. Frames are passed to tun in
 * batches; the batch's size is in the message. VHOST_* are made from vhost.py.
 */
#include <linux/socket.h>

/* struct tun_msg_ctl of include/linux/if_tun.h, Linux 4.20 to 6.x. That header takes longer to compile than all
 * programs of qtrace; a message that does not look like a batch of vhost is counted as lost. */
struct tun_batch {
    u16 type;
    u16 num;
};
#define TUN_BATCH 2
#define MOST_IN_BATCH 64

BPF_ARRAY(vhost_slots, u32, SIDE_INDEX_SIZE); /* SIDE_INDEX of VHOST_* -> slot + 1 */
BPF_HASH(vhost_direction, u32, u8, 64);
BPF_HASH(vhost_received, u32, u64, 64); /* thread -> frames received and not yet given to the guest */

/* Frames that a worker has passed on and not given back. A batch of vhost has up to 65 frames, and a worker has
 * one batch at a time, so it gives back the frames that it has passed on since the last time, in the same order. */
#define BATCH_PARTS 128

struct batch_part {
    u64 began;
    u32 number; /* frames that were passed on together */
    u32 sampled;
};

struct batch {
    u32 thread;
    u32 parts;
    u64 unsure; /* more parts than there is room for, or parts of another thread */
    struct batch_part part[BATCH_PARTS];
};

BPF_ARRAY(vhost_batches, struct batch, FRAME_GROUP_SIZE);

/* The worker's owner, NULL in any other thread or while counting is off. */
static __always_inline u32 *in_worker(void) {
    u32 zero = 0, thread = bpf_get_current_pid_tgid();
    struct target *target = targets.lookup(&zero);
    if (!target || !(target->running & COUNTS_FUNCTIONS))
        return 0;
    u32 *owner = vhost_workers.lookup(&thread);
    if (owner)
        hit();
    return owner;
}

/* `number` frames are passed on, together. */
static __always_inline void batch_begins(
    u32 group, u32 slot, struct batch *batch, struct frame *frame, u64 number, u64 bytes, u64 now) {
    if (!frame->open) {
        batch->thread = bpf_get_current_pid_tgid();
        batch->parts = batch->unsure = 0;
        frame->number = 0;
        frame->began = now;
        frame->how = FRAME_KNOWN;
        frame->sampled = 0;
    }
    frame->open = 1;
    frame->first = frame->slot = slot;
    frame->latest = now;
    frame->number += number;
    if (batch->parts >= BATCH_PARTS || batch->thread != (u32)bpf_get_current_pid_tgid()) {
        batch->unsure = 1;
        return;
    }
    struct batch_part *part = &batch->part[batch->parts & (BATCH_PARTS - 1)];
    batch->parts += 1;
    part->began = now;
    part->number = number;
    part->sampled = sample_begins(now);
    if (part->sampled) {
        frame->sampled = 1;
        if (frame->kicked)
            sample_hit(frame->kicked - 1, group, now, frame->kick, 0, 0);
        sample_hit(slot, group, now, now, number, bytes);
    }
    frame->kicked = 0;
}

/* `number` frames are given back: all that were passed on since the last time, in the same order. If the numbers
 * differ, one frame was not passed on after all, and it cannot be identified. */
static __always_inline void
batch_ends(u32 group, u32 slot, struct batch *batch, struct frame *frame, u64 number, u64 now) {
    struct frame_count *count = frame_counts.lookup(&group);
    if (!frame->open)
        frame_goes_on(group, frame, number, slot, now);
    else if (batch->unsure || frame->number != number)
        frame->how = FRAME_MIXED;
    else if (count) {
        frame->open = 0;
        lock_xadd(&count->matched, number);
        for (u32 i = 0; i < BATCH_PARTS && i < batch->parts; i++) {
            struct batch_part *part = &batch->part[i];
            frame_took(group, frame->first, slot, now - part->began, part->number);
            if (part->sampled)
                sample_hit(slot, group, part->began, now, part->number, 0);
        }
        return;
    }
    batch->parts = 0;
    frame_ends(group, frame, number, slot, now);
}

/* A kick comes before its frames, an interrupt after them: it is that of each sampled frame of the batch. */
static __always_inline void
batch_notice(u32 group, u32 slot, struct batch *batch, struct frame *frame, u64 now) {
    if (frame->open || !frame->sampled) {
        frame->kicked = slot + 1;
        frame->kick = now;
        return;
    }
    frame->sampled = 0; /* the next one is another batch's */
    for (u32 i = 0; i < BATCH_PARTS && i < batch->parts; i++)
        if (batch->part[i].sampled)
            sample_hit(slot, group, batch->part[i].began, now, 0, 0);
}

static __always_inline void vhost_passed(u32 *owner, u32 which, u8 direction, u64 frames, u64 bytes) {
    u32 index = SIDE_INDEX(which, direction & 1), group = FRAME_GROUP(*owner, FRAME_LANE(1, direction & 1));
    u32 *entry = vhost_slots.lookup(&index);
    if (!entry || !*entry || *owner >= OWNERS)
        return;
    u32 slot = (*entry - 1) & 0xff;
    passed(*entry - 1, *owner, frames, bytes);

    index = STAGE_INDEX(*owner, slot);
    u8 *part = frame_parts.lookup(&index);
    u32 notice = which == VHOST_KICK || which == VHOST_SIGNAL;
    if (!part || (notice ? !sampling_on() : !*part || !frames))
        return; /* what follows depends on `which` alone: each program has only its own part of it */
    struct batch *batch = vhost_batches.lookup(&group);
    struct frame *frame = frame_of(group);
    if (!batch || !frame)
        return;
    u64 now = bpf_ktime_get_ns();
    if (notice)
        batch_notice(group, slot, batch, frame, now);
    else if (which == VHOST_TUN)
        batch_begins(group, slot, batch, frame, frames, bytes, now);
    else
        batch_ends(group, slot, batch, frame, frames, now);
}

static __always_inline void vhost_turn(u8 direction) {
    u32 thread = bpf_get_current_pid_tgid();
    vhost_direction.update(&thread, &direction);
}

int on_handle_tx_kick(struct pt_regs *ctx) {
    u32 *owner = in_worker();
    if (owner) {
        vhost_turn(TX);
        vhost_passed(owner, VHOST_KICK, TX, 0, 0);
    }
    return 0;
}

/* tun_sendmsg, tap_sendmsg(socket, message, length) */
int on_tun_sendmsg(struct pt_regs *ctx) {
    u32 *owner = in_worker();
    if (!owner)
        return 0;
    struct msghdr *message = (struct msghdr *)PT_REGS_PARM2(ctx);
    void *control = 0;
    struct tun_batch batch = {};
    u64 frames = 1;
    bpf_probe_read_kernel(&control, sizeof(control), &message->msg_control);
    if (control && !bpf_probe_read_kernel(&batch, sizeof(batch), control) && batch.type == TUN_BATCH)
        frames = batch.num;
    if (frames > MOST_IN_BATCH)
        lose(LOST_READ);
    vhost_turn(TX);
    vhost_passed(owner, VHOST_TUN, TX, frames, PT_REGS_PARM3(ctx));
    return 0;
}

/* tun_recvmsg, tap_recvmsg(socket, message, length, flags): one frame. If the guest's buffers have no room for it,
 * length is 1, and vhost drops it. */
int on_tun_recvmsg(struct pt_regs *ctx) {
    u32 *owner = in_worker();
    if (!owner)
        return 0;
    u32 thread = bpf_get_current_pid_tgid();
    u64 *waiting = vhost_received.lookup(&thread), length = PT_REGS_PARM3(ctx), taken = length > 1;
    if (waiting)
        *waiting += taken;
    else
        vhost_received.update(&thread, &taken);
    vhost_turn(RX);
    vhost_passed(owner, VHOST_TUN, RX, 1, length);
    return 0;
}

/* vhost_add_used_and_signal_n(device, vq, heads, count), since Linux 6.18 (device, vq, heads, pointer, count): a sent
 * head is a frame; a received large frame has several heads, so the frames received since the call before are
 * counted. */
int on_vhost_used(struct pt_regs *ctx) {
    u32 thread = bpf_get_current_pid_tgid();
    u8 *direction = vhost_direction.lookup(&thread);
    u64 fourth = PT_REGS_PARM4(ctx);
    u64 frames = !fourth || fourth >> 47 ? (u32)PT_REGS_PARM5(ctx) : (u32)fourth;
    u32 *owner = in_worker();
    if (!owner || !direction)
        return 0;
    if (*direction == RX) {
        u64 *waiting = vhost_received.lookup(&thread);
        u64 received = waiting ? *waiting : 0;
        if (received < frames)
            frames = received;
        if (waiting)
            *waiting = 0;
    }
    vhost_passed(owner, VHOST_USED, *direction, frames, 0);
    return 0;
}

/* eventfd_signal, eventfd_signal_mask in the worker: the guest is interrupted. */
int on_vhost_signal(struct pt_regs *ctx) {
    u32 thread = bpf_get_current_pid_tgid();
    u8 *direction = vhost_direction.lookup(&thread);
    u32 *owner = in_worker();
    if (owner && direction)
        vhost_passed(owner, VHOST_SIGNAL, *direction, 0, 0);
    return 0;
}
