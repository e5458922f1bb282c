# SPDX-License-Identifier: LGPL-2.1-or-later
# What matters of the profile that newer Ubuntu has for fusermount3: it mounts over folders, in some places, and takes additions from
# local/fusermount3. Written for the tests after reading that of AppArmor 5; Debian 12 has none.
abi <abi/3.0>,

include <tunables/global>

@{fuse_types}={fuse,fuse.*,fuseblk,fusectl}

profile fusermount3 /usr/bin/fusermount3 {
  include <abstractions/base>
  include <abstractions/nameservice>

  capability sys_admin,
  capability dac_read_search,
  capability dac_override,
  capability setuid,

  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> @{HOME}/**/,
  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> /{mnt,media,tmp}/**/,
  mount fstype=@{fuse_types} options=(nosuid,nodev) options in (ro,rw,noatime,dirsync,nodiratime,noexec,sync) -> @{run}/user/@{uid}/**/,
  umount @{HOME}/**/,
  umount /{mnt,media,tmp}/**/,
  umount @{run}/user/@{uid}/**/,

  /dev/fuse rw,
  /usr/bin/fusermount3 mr,
  @{etc_ro}/fuse.conf r,
  @{PROC}/@{pid}/{mounts,mountinfo} r,

  include if exists <local/fusermount3>
}
