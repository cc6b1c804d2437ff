//! Time stamps of syslog headers, from seconds to text.

use crate::out::Out;

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const DAY_S: i64 = 86_400;

struct Civil {
    year: u32,
    month: u32,
    day: u32,
    second: u32,
}

/// Splits seconds since 1970 into a date of the Gregorian calendar and a second of its day.
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.)
fn civil(seconds: i64) -> Civil {
    let days = seconds.div_euclid(DAY_S) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Civil {
        year: (year_of_era + era * 400 + i64::from(month <= 2)) as u32,
        month: month as u32,
        day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u32,
        second: seconds.rem_euclid(DAY_S) as u32,
    }
}

fn clock(out: &mut Out, second: u32) {
    out.padded(second / 3600, 2);
    out.byte(b':');
    out.padded(second / 60 % 60, 2);
    out.byte(b':');
    out.padded(second % 60, 2);
}

/// Writes `2015-06-01T19:50:55`, in UTC, without the `Z`.
pub fn rfc3339(out: &mut Out, time: u32) {
    let civil = civil(i64::from(time));
    out.padded(civil.year, 4);
    out.byte(b'-');
    out.padded(civil.month, 2);
    out.byte(b'-');
    out.padded(civil.day, 2);
    out.byte(b'T');
    clock(out, civil.second);
}

/// Writes `Jun  1 19:50:55`.
pub fn rfc3164(out: &mut Out, time: u32, zone: &Zone) {
    let civil = civil(i64::from(time) + zone.offset_at(time));
    let month = civil.month as usize * 3;
    out.push(&MONTHS[month - 3..month]);
    out.byte(b' ');
    if civil.day < 10 {
        out.byte(b' ');
    }
    out.decimal(u64::from(civil.day));
    out.byte(b' ');
    clock(out, civil.second);
}

/// A time zone: from when on which offset from UTC holds, both in seconds, the earliest first.
#[derive(Clone, Default)]
pub struct Zone(pub Vec<(u32, i64)>);

impl Zone {
    fn offset_at(&self, time: u32) -> i64 {
        let after = self.0.partition_point(|(from, _)| *from <= time);
        after.checked_sub(1).map_or(0, |index| self.0[index].1)
    }
}
