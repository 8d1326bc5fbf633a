/* QEMU's virtqueues: elements taken and returned, kicks and interrupts.
 *
 * A process also has virtqueues of other devices (a serial port, a disk); only those of network cards (virtio id 1)
 * count. An element with only readable buffers is a frame from the guest, one with only writable buffers takes
 * a frame for the guest, and one with both is a control command.
 *
 * VQ_* are made from virtqueue.py.
 */

#define VIRTIO_ID_NET 1
#define CONTROL 2

BPF_ARRAY(virtqueue_slots, u32, SIDE_INDEX_SIZE); /* SIDE_INDEX of VQ_* -> slot + 1 */
BPF_HASH(popping, u32, u64, 1024);   /* thread -> the queue from which it takes */

static __always_inline int is_net(struct target *target, u64 queue) {
    u64 device = 0;
    u16 id = 0;
    if (owner_of(queue))
        return 1;
    if (bpf_probe_read_user(&device, sizeof(device), (void *)(queue + target->queue_device)) ||
        bpf_probe_read_user(&id, sizeof(id), (void *)(device + target->device_id))) {
        lose(LOST_READ);
        return 0;
    }
    return id == VIRTIO_ID_NET;
}

static __always_inline u8 direction_of(struct target *target, u64 element) {
    u32 out = 0, in = 0;
    if (bpf_probe_read_user(&out, sizeof(out), (void *)(element + target->element_out)) ||
        bpf_probe_read_user(&in, sizeof(in), (void *)(element + target->element_in))) {
        lose(LOST_READ);
        return CONTROL;
    }
    if (out && in)
        return CONTROL;
    return out ? TX : RX;
}

static __always_inline void virtqueue_passed(u32 which, u32 owner, u8 direction, u64 frames, u64 bytes) {
    if (direction > RX)
        return;
    u32 index = SIDE_INDEX(which, direction);
    u32 *slot = virtqueue_slots.lookup(&index);
    if (slot && *slot)
        passed(*slot - 1, owner, frames, bytes);
}

/* virtqueue_pop(vq, size) */
int on_virtqueue_pop(struct pt_regs *ctx) {
    struct target *target = traced();
    u64 queue = PT_REGS_PARM1(ctx);
    if (target && is_net(target, queue)) {
        u32 thread = bpf_get_current_pid_tgid();
        popping.update(&thread, &queue);
    }
    return 0;
}

/* virtqueue_pop's return: an element, or NULL when the ring is empty. */
int on_virtqueue_popped(struct pt_regs *ctx) {
    struct target *target = traced();
    u32 thread = bpf_get_current_pid_tgid();
    u64 element = PT_REGS_RC(ctx);
    u64 *queue = target ? popping.lookup(&thread) : 0;
    if (!queue)
        return 0;
    u32 owner = owner_of(*queue);
    popping.delete(&thread);
    if (element)
        virtqueue_passed(VQ_POP, owner, direction_of(target, element), 1, 0);
    return 0;
}

static __always_inline void gave_back(struct pt_regs *ctx, u32 which, u64 frames) {
    struct target *target = traced();
    u64 queue = PT_REGS_PARM1(ctx);
    u32 thread = bpf_get_current_pid_tgid();
    if (!target)
        return;
    if (!is_net(target, queue)) {
        giving.delete(&thread);
        return;
    }
    u32 owner = owner_of(queue);
    u8 direction = direction_of(target, PT_REGS_PARM2(ctx));
    u32 given = owner << 8 | direction;
    giving.update(&thread, &given);
    virtqueue_passed(which, owner, direction, frames, (u32)PT_REGS_PARM3(ctx));
}

/* virtqueue_push(vq, element, length): fill and flush of one element. */
int on_virtqueue_push(struct pt_regs *ctx) {
    gave_back(ctx, VQ_PUSH, 1);
    return 0;
}

/* virtqueue_fill(vq, element, length, index): a frame may take several elements; its first is 0. */
int on_virtqueue_fill(struct pt_regs *ctx) {
    gave_back(ctx, VQ_FILL, PT_REGS_PARM4(ctx) == 0);
    return 0;
}

/* A queue of a card that carries frames: if the owners are known, a card's control queue has none. */
static __always_inline int carries(struct target *target, u64 queue) {
    return target->owners ? owner_of(queue) != UNKNOWN : is_net(target, queue);
}

/* virtio_queue_notify(device, n): a doorbell through the device's registers. If the queue has its notifier on, the
 * notifier is only set here, and counted when it is read. */
int on_virtqueue_notify(struct pt_regs *ctx) {
    struct target *target = traced();
    u64 device = PT_REGS_PARM1(ctx), queues = 0;
    u32 number = (u32)PT_REGS_PARM2(ctx);
    u8 enabled = 0;
    if (!target)
        return 0;
    if (bpf_probe_read_user(&queues, sizeof(queues), (void *)(device + target->device_queues))) {
        lose(LOST_READ);
        return 0;
    }
    u64 queue = queues + (u64)number * target->queue_size;
    if (!carries(target, queue))
        return 0;
    if (bpf_probe_read_user(&enabled, sizeof(enabled), (void *)(queue + target->queue_enabled)))
        lose(LOST_READ);
    else if (!enabled)
        virtqueue_passed(VQ_NOTIFY, owner_of(queue), number & 1 ? TX : RX, 0, 0);
    return 0;
}

/* virtio_queue_host_notifier_read(notifier): the notifier lies inside its queue. Odd queues send. */
int on_virtqueue_kick(struct pt_regs *ctx) {
    struct target *target = traced();
    u16 index = 0;
    if (!target)
        return 0;
    u64 queue = PT_REGS_PARM1(ctx) - target->queue_kick;
    if (!carries(target, queue))
        return 0;
    if (bpf_probe_read_user(&index, sizeof(index), (void *)(queue + target->queue_index)))
        lose(LOST_READ);
    else
        virtqueue_passed(VQ_KICK, owner_of(queue), index & 1 ? TX : RX, 0, 0);
    return 0;
}
