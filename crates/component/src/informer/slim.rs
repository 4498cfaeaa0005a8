//! Slim structs: only the fields that a daemon reads.

/// Makes `$slim`, a struct with a field `metadata: ObjectMeta`, stand for `$full` on the wire:
/// implements [`kube::Resource`] and [`FromJson`](api_types::codec::FromJson) for it.
///
/// ```
/// use component::slim_resource;
///
/// #[derive(Clone, Debug, serde::Deserialize)]
/// struct Pod {
///     metadata: api_types::meta::ObjectMeta,
/// }
/// slim_resource!(Pod => api_types::core::Pod);
/// ```
#[macro_export]
macro_rules! slim_resource {
    ($slim:ty => $full:ty) => {
        ::api_types::read_by_serde!($slim);

        impl ::kube::Resource for $slim {
            type DynamicType = ();
            type Scope = <$full as ::kube::Resource>::Scope;

            fn kind(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::kind(dt)
            }
            fn group(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::group(dt)
            }
            fn version(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::version(dt)
            }
            fn plural(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::plural(dt)
            }
            fn meta(&self) -> &::api_types::meta::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ::api_types::meta::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
