/* Questions of the kernel's vhost for a translation that it does not have, which QEMU answers:
 * vhost_device_iotlb_miss (hw/virtio/vhost.c), whose first argument is a vhost device.
 *
 * MISS_* are made from the instrument iotlb_misses.
 */

BPF_PERCPU_ARRAY(iotlb_misses, struct tally, MISS_INDEX_SIZE);

int on_iotlb_miss(struct pt_regs *ctx) {
    if (!traced())
        return 0;
    u32 index = MISS_INDEX(owner_of(PT_REGS_PARM1(ctx)));
    struct tally *tally = iotlb_misses.lookup(&index);
    if (tally)
        lock_xadd(&tally->calls, 1);
    return 0;
}
