//! AWS region names.
//!
//! Source: the regions table of the AWS General Reference, read in autumn 2026
//! (<https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>).

/// A text that is not an AWS region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an AWS region; give one such as eu-central-1")]
pub struct UnknownRegion(String);

/// The areas at the start of region names.
const AREAS: &[&str] = &[
    "af", "ap", "ca", "cn", "eu", "eusc-de", "il", "me", "mx", "sa", "us", "us-gov",
];

/// The directions between the area and the number.
const DIRECTIONS: &[&str] = &[
    "central",
    "east",
    "north",
    "northeast",
    "northwest",
    "south",
    "southeast",
    "southwest",
    "west",
];

/// The highest number in use, where it is above 1.
const NUMBERS: &[(&str, u8)] = &[
    ("ap-east", 2),
    ("ap-northeast", 3),
    ("ap-south", 2),
    ("ap-southeast", 7),
    ("eu-central", 2),
    ("eu-south", 2),
    ("eu-west", 3),
    ("us-east", 2),
    ("us-west", 2),
];

/// The maximum distance of a region newer than this table from the highest number in use; AWS assigns
/// numbers in ascending order.
const NEWER: u8 = 2;

/// Checks that a text is an AWS region: an area, a direction and a number as AWS assigns them. Regions
/// that are newer than this table pass.
///
/// # Errors
/// [`UnknownRegion`], with the text cut to 40 characters.
pub fn check_region(text: &str) -> Result<(), UnknownRegion> {
    let is_region = text.rsplit_once('-').is_some_and(|(place, number)| {
        let is_place = place.rsplit_once('-').is_some_and(|(area, direction)| {
            AREAS.contains(&area) && DIRECTIONS.contains(&direction)
        });
        let in_use = NUMBERS.iter().find(|(known, _)| *known == place);
        let highest = in_use.map_or(1, |(_, number)| *number) + NEWER;
        let is_plain = number.len() == 1;
        is_place
            && is_plain
            && number
                .parse()
                .is_ok_and(|number| (1..=highest).contains(&number))
    });
    if is_region {
        Ok(())
    } else {
        let shown = text.chars().filter(|shown| !shown.is_control());
        Err(UnknownRegion(shown.take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_an_area_a_direction_and_a_number() {
        for region in [
            "ap-northeast-2",
            "ap-southeast-7",
            "ca-west-1",
            "cn-northwest-1",
            "eu-central-1",
            "eusc-de-east-1",
            "il-central-1",
            "us-east-1",
            "us-gov-west-1",
        ] {
            assert_eq!(check_region(region), Ok(()), "{region}");
        }
        for wrong in [
            "",
            "local",
            "Frankfurt",
            "us-esat-1",
            "us-east",
            "us-east-1a",
            "us-east-11",
            "us-east-01",
            "us-east-0",
            "eu-central-9",
            "eu-centrl-1",
            "EU-central-1",
            "eu_central_1",
            " eu-central-1",
            "x-east-1",
        ] {
            assert!(check_region(wrong).is_err(), "{wrong}");
        }
    }
}
