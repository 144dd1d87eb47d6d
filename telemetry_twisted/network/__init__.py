"""What the sightings of single nodes add up to: slots, journeys, guarantees, anchors, clocks."""
