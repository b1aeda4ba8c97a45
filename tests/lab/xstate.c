/*
 * ptrace(2) for User-Mode Linux on a processor with AMX.
 *
 * Linux 6.1's User-Mode Linux gives a process's vector registers back in as many bytes as it knows of. A kernel that also has
 * AMX's tiles, which are four times as large, takes all bytes or none (EFAULT), and then the guest panics at once. No
 * process of the guest uses tiles: the rest is zero. fence.sh has this loaded where it is needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum { MOST = 1 << 16 };

long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, ...);
	static char whole[MOST];
	static size_t size; /* of all registers, once it is known that they are wanted */
	va_list more;
	va_start(more, request);
	long pid = va_arg(more, long);
	void *address = va_arg(more, void *), *data = va_arg(more, void *);
	va_end(more);
	if (!real)
		real = dlsym(RTLD_NEXT, "ptrace");
	if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE)
		return real(request, pid, address, data);
	struct iovec *given = data, all = {whole, sizeof whole};
	if (!size) {
		long done = real(request, pid, address, data);
		if (done == 0 || errno != EFAULT)
			return done;
		if (real(PTRACE_GETREGSET, pid, address, &all) || all.iov_len <= given->iov_len)
			return errno = EFAULT, -1;
		size = all.iov_len;
		memset(whole, 0, size);
	}
	memcpy(whole, given->iov_base, given->iov_len);
	all.iov_len = size;
	return real(request, pid, address, &all);
}
